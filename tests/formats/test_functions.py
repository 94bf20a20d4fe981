"""Kernel C on values: the terms, the interpreter and gcc agree, and what is no pure function is refused."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
import z3

from tdpcheck.core.errors import ModelError
from tdpcheck.core.sorts import Truth, Word
from tdpcheck.formats import functions
from tdpcheck.formats.functions import FOLDER, Function, function
from tdpcheck.formats.ranges import FILE, RECORDS
from tdpcheck.formats.written import LAYOUTS
from tdpcheck.tests.few import few

GCC = shutil.which("gcc")
SPTE_FUNCTIONS = (
    "make_mmio_spte get_mmio_spte_generation generation_mmio_spte_mask make_nonleaf_spte make_spte make_spte_later make_tracked_spte "
    "restore_acc_track_spte mark_spte_for_access_track is_mmio_spte is_frozen_spte is_access_track_spte is_shadow_present_pte "
    "is_last_spte spte_to_address frozen_value nonpresent_value"
).split()
FLUSH_FUNCTIONS = "flush_range_of_6_1 flush_range_before_5_18 flush_range_of_6_12 kvm_tdp_fd_flush_range kvm_tdp_fd_flush_all".split()


def drawn(what: Function, source: random.Random) -> dict[str, int]:
    """Arguments: small ones, large ones, and those with few bits set."""
    given = {}
    for name, kind in what.parameters.items():
        assert isinstance(kind, Truth | Word)
        width = 1 if isinstance(kind, Truth) else kind.width
        pick = source.random()
        value = source.getrandbits(width) if pick < 0.5 else (1 << source.randrange(width)) - source.randrange(2)
        given[name] = value % (1 << width)
    return given


def symbolic(what: Function, given: dict[str, int]) -> tuple[int | None, dict[str, int], bool]:
    """What the terms of a function come to at plain arguments: Z3 folds them."""
    constants = {name: kind.const(name) for name, kind in what.parameters.items()}
    values = [
        (const, z3.BoolVal(bool(given[name])) if z3.is_bool(const) else z3.BitVecVal(given[name], const.size()))
        for name, const in constants.items()
    ]

    def number(term: z3.ExprRef) -> int:
        folded = z3.simplify(z3.substitute(term, *values))
        return int(z3.is_true(folded)) if z3.is_bool(folded) else folded.as_long()

    applied = what.apply(constants)
    failed = any(number(when) for _, when in applied.fails)
    records = {name: number(term) for name, term in applied.records.items()}
    return None if applied.result is None else number(applied.result), records, failed


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", few(SPTE_FUNCTIONS, 3))
def test_terms_mean_what_the_interpreter_does(name: str, layout: str) -> None:
    what = function("spte.c", name, LAYOUTS[layout])
    source = random.Random(f"{name}{layout}")
    for _ in range(4):
        given = drawn(what, source)
        ran = what.run(given)
        assert (ran.result, dict(ran.records), bool(ran.failed)) == symbolic(what, given), given


@pytest.mark.parametrize("name", FLUSH_FUNCTIONS)
def test_what_is_handed_out_is_the_same_both_ways(name: str) -> None:
    what = function(FILE, name, records=RECORDS)
    source = random.Random(name)
    for _ in range(4):
        given = drawn(what, source)
        ran = what.run(given)
        assert (ran.result, dict(ran.records), bool(ran.failed)) == symbolic(what, given), given


ASKED = ["make_mmio_spte", "get_mmio_spte_generation", "make_nonleaf_spte", "make_tracked_spte", "restore_acc_track_spte", "is_mmio_spte"]


@pytest.mark.skipif(GCC is None, reason="NOT RUN: gcc is not installed")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gcc_computes_the_same(layout: str, tmp_path: Path) -> None:
    """The C is C: compiled as it stands, with arguments written down field by field."""
    option = [f"-D{name}" for name, on in LAYOUTS[layout].items() if on]
    source, lines, expected = random.Random(f"gcc{layout}"), [], []
    for name in ASKED:
        what = function("spte.c", name, LAYOUTS[layout])
        for _ in range(20):
            given = drawn(what, source)
            arguments: dict[str, list[str]] = {}
            for path, value in given.items():
                arguments.setdefault(path.partition(".")[0], []).append(f"{value:#x}ul")
            structs = {"ept": "struct kvm_ept", "leaf": "struct leaf", "later": "struct later"}
            written = (f"({structs[k]}){{ {', '.join(v)} }}" if k in structs else v[0] for k, v in arguments.items())
            lines.append(f'printf("%llu\\n", (unsigned long long){name}({", ".join(written)}));')
            expected.append(what.run(given).result)
    types = "typedef unsigned char u8; typedef unsigned long u64;"
    text = f"#include <stdio.h>\n#include <stdbool.h>\n{types}\n{(FOLDER / 'spte.c').read_text()}\nint main(void) {{ {' '.join(lines)} }}\n"
    (tmp_path / "p.c").write_text(text)
    assert GCC is not None
    subprocess.run([GCC, *option, *"-std=gnu11 -O1 -w p.c -o p".split()], check=True, cwd=tmp_path, timeout=60)
    done = subprocess.run([tmp_path / "p"], capture_output=True, text=True, check=True, timeout=60)
    assert expected == [int(line) for line in done.stdout.split()]


def of_text(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Function:
    (tmp_path / "f.c").write_text(text)
    monkeypatch.setattr(functions, "FOLDER", tmp_path)
    return function("f.c", "f")


def test_a_loop_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    what = of_text("u64 f(u64 n) { u64 i = 0; while (i < n) i++; return i; }", monkeypatch, tmp_path)
    assert what.run({"n": 5}).result == 5
    with pytest.raises(ModelError, match="loop"):
        what.apply({"n": z3.BitVec("n", 64)})


def test_what_c_gives_no_value_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    what = of_text("u64 f(u64 n) { return 1ul << n; }", monkeypatch, tmp_path)
    assert what.run({"n": 63}).failed == frozenset()
    assert what.run({"n": 64}).failed
    ((_, when),) = what.apply({"n": z3.BitVec("n", 64)}).fails
    assert z3.is_true(z3.simplify(z3.substitute(when, (z3.BitVec("n", 64), z3.BitVecVal(64, 64)))))


def test_a_function_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="has no function nowhere"):
        function("spte.c", "nowhere")
