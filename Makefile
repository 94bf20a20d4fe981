# `make demo` and `make test` work in a fresh clone: all they need goes into .venv, nothing else is touched.
# Override: PYTHON (the interpreter that .venv is made from), JOBS (test processes), TDPCHECK_KERNEL (a Linux source tree).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
KERNELS := 6.1 6.12

# Whatever else is activated or on the path of the caller must not leak into .venv.
unexport PYTHONPATH VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_NO_INPUT := 1
export DEBIAN_FRONTEND := noninteractive

# `as_root COMMAND`: run it if we may do so without asking anyone.
define AS_ROOT
as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo -n "$$@"; fi; }; \
can_apt() { command -v apt-get >/dev/null && { [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }
endef

.PHONY: help setup tree anytree browser compiler fuzz nightly demo test fast check lint types arrows docs clean

help: ## say what there is to make
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

setup: $(VENV)/.installed-dev ## put the project and its tools into .venv

demo: $(VENV)/.installed anytree ## show a race being found and its fix being proved
	@$(BIN)/python -m tdpcheck.cli.demo

test: setup tree browser compiler ## run every test, quick ones first
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not kernel and not bench"
	@$(BIN)/python -m pytest -n $(JOBS) -m "(slow or kernel) and not bench and not nightly"

fast: setup ## run the quick tests
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not kernel and not bench"

check: lint types arrows docs ## lint, format, types, arrows between rooms, documentation (-k: all of them, whatever fails)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy
	$(BIN)/mypy tests

arrows: setup
	$(BIN)/lint-imports --no-logo

docs: setup
	$(if $(wildcard tests/test_docs.py),$(BIN)/python -m pytest -q tests/test_docs.py)

# `fetch_kernel VERSION`: Debian's source of it, or false.
define FETCH_KERNEL
fetch_kernel() { \
	echo "Installing linux-source-$$1, from which functions are taken ..."; \
	can_apt && as_root apt-get update -qq >/dev/null && as_root apt-get install -y -qq --no-install-recommends linux-source-$$1 >/dev/null \
	&& [ -e /usr/src/linux-source-$$1.tar.xz ]; }
endef

tree: ## fetch the Linux sources that some tests read (Debian only)
	@$(AS_ROOT); $(FETCH_KERNEL); \
	if [ -n "$${TDPCHECK_KERNEL:-}" ]; then exit 0; fi; \
	for version in $(KERNELS); do \
	  if [ -e /usr/src/linux-source-$$version.tar.xz ] || fetch_kernel $$version; then continue; fi; \
	  echo "NOT RUN: the tests on Linux $$version; linux-source-$$version could not be installed. Set TDPCHECK_KERNEL to a source tree." >&2; \
	done

anytree: # of the Linux sources one is enough to show something
	@$(AS_ROOT); $(FETCH_KERNEL); \
	for version in $(KERNELS); do if [ -e /usr/src/linux-source-$$version.tar.xz ]; then exit 0; fi; done; \
	for version in $(KERNELS); do if fetch_kernel $$version; then exit 0; fi; done

browser: ## fetch the browser in which some tests look at reports (Debian only)
	@$(AS_ROOT); \
	if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then exit 0; fi; \
	echo "Installing chromium, in which some tests look at reports ..."; \
	if can_apt && as_root apt-get update -qq >/dev/null && as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null \
	   && command -v chromium >/dev/null; then exit 0; fi; \
	echo "NOT RUN: the tests of reports in a browser; chromium could not be installed. Put a chromium on the path." >&2

compiler: ## fetch gcc, with which some tests compare what C means (Debian only)
	@$(AS_ROOT); \
	if command -v gcc >/dev/null; then exit 0; fi; \
	echo "Installing gcc, with which some tests compare what C means ..."; \
	if can_apt && as_root apt-get update -qq >/dev/null && as_root apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null \
	   && command -v gcc >/dev/null; then exit 0; fi; \
	echo "NOT RUN: the tests against gcc; it could not be installed. Put a gcc on the path." >&2

# First what is too long for the day, then a line for each campaign; TDPCHECK_SEED makes what is random, and what the day's tests draw,
# other than yesterday's.
nightly: setup tree browser compiler ## run what is too long for every day, and the long campaigns
	$(BIN)/python -m pytest -n $(JOBS) -m nightly
	TDPCHECK_C_PROGRAMS=$${TDPCHECK_C_PROGRAMS:-20000} $(BIN)/python -m pytest -n $(JOBS) tests/kernelc/text/test_against_gcc.py tests/kernelc/test_against_gcc.py
	TDPCHECK_MUTANTS=$${TDPCHECK_MUTANTS:-200000} $(BIN)/python -m pytest -n $(JOBS) tests/recheck/test_mutants.py
	TDPCHECK_MERGING_RANDOM=$${TDPCHECK_MERGING_RANDOM:-500} TDPCHECK_MERGING_AIMED=$${TDPCHECK_MERGING_AIMED:-100} $(BIN)/python -m pytest -n $(JOBS) tests/model/test_merging.py
	TDPCHECK_FUZZ=$${TDPCHECK_FUZZ:-100000} $(BIN)/python -m tdpcheck.tests.fuzz.fuzzer
	$(BIN)/tdpcheck mutate --sample $${TDPCHECK_MUTATE:-40} --seed $${TDPCHECK_SEED:-0} || [ $$? = 3 ] # 3: some survive, and are told
	TDPCHECK_SIGNALS=$${TDPCHECK_SIGNALS:-200} $(BIN)/python -m pytest tests/cli/test_ends.py
	for seed in $${TDPCHECK_TRACE_SEEDS:-101 102 103}; do for version in $(KERNELS); do trace=$$(mktemp); \
	  $(BIN)/tdpcheck trace record --kernel-version $$version --seed $$seed --out $$trace || { [ $$? = 3 ]; continue; }; \
	  $(BIN)/tdpcheck trace monitor $$trace; $(BIN)/tdpcheck trace check --timeout 900 $$trace; rm $$trace; done; done

fuzz: setup ## spoil inputs of every kind, and see that each is read or refused
	$(BIN)/python -m tdpcheck.tests.fuzz.fuzzer

clean: ## remove what building and testing left behind, .venv too
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .grimp_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tdpcheck needs Python 3.11 or newer, and $(PYTHON) is none: say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(AS_ROOT); \
	if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null && can_apt; then \
	  { as_root apt-get update -qq && as_root apt-get install -y -qq python3-venv; } >/dev/null || true; \
	fi; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: install the package python3-venv, then run make again." >&2; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or two) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(VENV)/pyvenv.cfg
	@$(BIN)/python -m pip install -qq --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/pyvenv.cfg
	@$(BIN)/python -m pip install -qq --editable '.[dev]'
	@touch $(VENV)/.installed $@
