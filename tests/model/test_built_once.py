"""What is built once and shared: the same model as if everything was built anew, and nothing shared that is not the same."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import z3
from msgspec.structs import replace as replace_fields

from tdpcheck.core.sorts import Rigid, Sort, StateVar
from tdpcheck.kernelc.lowering import once
from tdpcheck.kernelc.stepping.steps import Software
from tdpcheck.model.change.marks import mark
from tdpcheck.model.flows import cells
from tdpcheck.model.scenario import Scenario, shipped_scenarios
from tdpcheck.model.system import Code, Model, build, parse_source, shipped_source

CELLS = cells(("no_stale_io_mapping",))


@pytest.fixture(scope="module")
def code() -> Code:
    return parse_source(shipped_source("shared"))


def scenario(name: str) -> Scenario:
    return CELLS[name] if "@" in name else shipped_scenarios()[name]


def plain(value: Any) -> object:
    """A value without terms: each by Z3's identity of it, which equal terms share. Functions and what is remembered are left out."""
    match value:
        case z3.AstRef():
            return int(value.as_ast().value)
        case StateVar() | Sort() | Rigid():
            return value
        case tuple() | list():
            return [plain(each) for each in value]
        case dict():
            return {plain_key(key): plain(each) for key, each in value.items()}
        case _ if is_dataclass(value):
            return type(value).__name__, [plain(getattr(value, f.name)) for f in fields(value) if f.compare]
        case _:
            return value


def plain_key(key: Any) -> object:
    return str(key) if is_dataclass(key) else key


def _software(software: Software) -> object:
    """Everything that is known of compiled threads."""
    return plain(software)


def alone(wanted: Scenario, code: Code, *, merge: bool = True) -> Model:
    """The model as a process makes it that has made no other."""
    with once.nothing_known():
        return build(wanted, code, merge=merge)


@pytest.mark.parametrize(
    "names",
    [
        ("unregister+attach@pages", "register+unregister@private", "attach+attach@pages"),
        pytest.param(("notifier+attach@pages", "notifier+exit@huge", "fault+exit@empty", "notifier-vs-fault"), marks=pytest.mark.slow),
    ],
)
def test_a_model_is_the_same_whatever_was_built_before(names: tuple[str, ...], code: Code) -> None:
    with once.nothing_known():
        shared = [build(scenario(name), code) for name in names]
    for name, made in zip(names, shared, strict=True):
        by_itself = alone(scenario(name), code)
        assert _software(made.software) == _software(by_itself.software), name
        assert made.digest == by_itself.digest
        assert made.geometry == by_itself.geometry


def test_a_graph_is_lowered_once_for_all_scenarios_on_one_machine(code: Code) -> None:
    one, other = (build(scenario(name), code).software for name in ("unregister+attach@pages", "register+unregister@private"))
    assert one.graphs["unregister"] is other.graphs["unregister"]


def test_a_scenario_on_another_machine_has_graphs_of_its_own(code: Code) -> None:
    base = scenario("unregister@pages")
    with_ats = replace_hardware(base, ats=True)
    one, other = (build(each, code).software for each in (base, with_ats))
    assert one.graphs["unregister"] is not other.graphs["unregister"]
    assert _software(other) == _software(alone(with_ats, code).software)


def replace_hardware(wanted: Scenario, **changed: object) -> Scenario:
    return replace_fields(wanted, hardware=replace_fields(wanted.hardware, **changed))


def test_a_change_lowers_anew_what_it_touches_and_nothing_else(code: Code) -> None:
    cell = scenario("register+attach@pages")
    before = build(cell, code).software
    touched = code.functions["kvm_arch_register_noncoherent_dma"]
    marked = mark(code.functions, {touched.at.file: range(touched.at.line, touched.last_line + 1)})
    assert marked[touched.name] != touched
    changed = replace(code, functions=marked)
    after = build(cell, changed).software
    assert after.graphs["attach"] is before.graphs["attach"]
    assert after.graphs["register"] is not before.graphs["register"]
    assert _software(after) == _software(alone(cell, changed).software)


@pytest.mark.slow
def test_arguments_and_roles_tell_graphs_apart(code: Code) -> None:
    cell = scenario("fault+fault@pages")
    software = build(cell, code).software
    mine, others = software.graphs["fault"], software.graphs["other_fault"]
    assert mine is not others
    assert plain(mine.nodes) != plain(others.nodes)


def test_what_merging_is_asked_for_tells_paths_apart(code: Code) -> None:
    cell = scenario("register@pages")
    merged, unmerged = build(cell, code).software, build(cell, code, merge=False).software
    assert merged.graphs["register"] is unmerged.graphs["register"]
    assert len(merged.locations) < len(unmerged.locations)
    assert _software(unmerged) == _software(alone(cell, code, merge=False).software)


def test_a_function_that_cannot_be_read_is_refused_again_and_again(code: Code) -> None:
    cell = scenario("register@pages")
    functions = {name: function for name, function in code.functions.items() if name != "kvm_arch_register_noncoherent_dma"}
    broken = replace(code, functions=functions, broken={**code.broken, "kvm_arch_register_noncoherent_dma": ValueError("not C")})
    build(cell, code)
    for _ in range(2):
        with pytest.raises(ValueError, match="not C"):
            build(cell, broken)


def test_the_same_text_at_another_line_is_another_graph(code: Code) -> None:
    moved = {name: f"\n{text}" for name, text in shipped_source("shared").files.items()}
    below = parse_source(replace(shipped_source("shared"), files=moved))
    cell = scenario("register@pages")
    first, second = build(cell, code).software, build(cell, below).software
    assert {a.source[0].line + 1 for a in first.actions} == {a.source[0].line for a in second.actions}
