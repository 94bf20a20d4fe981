"""Steps that are merged hide nothing: members of each kind of mistake, and random and aimed mutants explored with and without merging."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import z3

from tdpcheck.checker.states.explore import Surveyed, survey
from tdpcheck.core.errors import TdpcheckError
from tdpcheck.kernelc.lowering.cfg import Op
from tdpcheck.kernelc.stepping.footprint import of_action
from tdpcheck.kernelc.text import ast
from tdpcheck.model.intrinsics import LIBRARY
from tdpcheck.model.machine import parts
from tdpcheck.model.scenario import Scenario, shipped_scenarios
from tdpcheck.model.system import Code, Model, build, parse_source, shipped_source
from tdpcheck.runner.inputs.terms import goals_there, property_names, property_of
from tdpcheck.tests.few import SEED, few

RANDOM = int(os.environ.get("TDPCHECK_MERGING_RANDOM", "12"))
AIMED = int(os.environ.get("TDPCHECK_MERGING_AIMED", "8"))
MOST = 40_000
"""So many states are visited without merging; a mutant that has more is left alone."""
SMALL = ("fast-zap-private", "huge-over-table", "memslot-delete", "mm-exit", "noncoherent-export", "share-vs-fast-zap")
MOVERS = frozenset(name for name, i in LIBRARY.intrinsics.items() if i.mover not in ("none", "local") or i.when is not None)
UNMET = "unmet"


@cache
def shipped() -> Code:
    return parse_source(shipped_source("shared"))


def changed(function: str, before: str, after: str, file: str = "tdp_mmu.c") -> Code:
    """The shipped kernel C with one text put in place of another."""
    source = shipped_source("shared")
    text = source.files[file]
    assert text.count(before) == 1, function
    return parse_source(replace(source, files={**source.files, file: text.replace(before, after)}))


def seen(made: Model, most: int = MOST) -> Surveyed:
    """Every state of a model, and which properties are violated, goals reached and conditions of merging not met in some of them."""
    properties = {name: property_of(made, name) for name in property_names()}
    terms: dict[str, Any] = {f"bad {n}": z3.Not(p.holds) for n, p in properties.items()} | {
        f"goal {n}": g for n, g in goals_there(made.scenario).items()
    }
    terms |= {f"goal {role} ends": made.finished(role) for role in dict.fromkeys(made.roles)}
    if made.software.merging:
        terms[UNMET] = z3.Not(z3.And([c.holds for c in made.software.merging]))
    return survey(made.system, made.geometry, terms, max_states=most)


def differences(scenario: Scenario, code: Code, made: Model | None = None) -> list[str] | None:
    """What exploration with merging says otherwise than without; None if there are too many states to tell.

    Args:
        made: the model with merging, if there is one already.
    """
    alone = seen(build(scenario, code, merge=False))
    if not alone.stats.complete:
        return None
    merged = seen(made or build(scenario, code))
    assert merged.stats.complete
    unmet = merged.traces.get(UNMET) is not None
    found = []
    for name, trace in alone.traces.items():
        more, fewer = merged.traces[name] is not None and trace is None, merged.traces[name] is None and trace is not None
        if more or (fewer and not unmet):
            found.append(f"{name}: {'only' if more else 'not'} with merging")
    return found


# Members of the kinds

UNLINK, FREEZE, TO_RCU = "\ttdp_mmu_unlink_sp(sp);\n", "\ttdp_mmu_freeze_children(sp);\n", "\tcall_rcu_free_sp(sp);\n"
FILL, FREE = "\ttdp_mmu_init_split_sp(sp, old_spte);\n", "\ttdp_mmu_free_sp(sp);\n"
PRIVATE_PAGES = {
    "a page is filled after it was unlinked": (UNLINK, UNLINK + FILL),
    "a page is filled before it is unlinked": (UNLINK, FILL + UNLINK),
    "a page is freed that was linked": (TO_RCU, FREE),
    "a page is unlinked twice": (FREEZE, FREEZE + UNLINK),
    "a page is freed and handed to RCU": (TO_RCU, TO_RCU + FREE),
}


@pytest.mark.parametrize("kind", few(PRIVATE_PAGES, 5))
@pytest.mark.slow
def test_what_is_done_to_a_page_that_is_not_private_is_a_step_of_its_own_or_not_believed(kind: str) -> None:
    """What another walker sees between two statements is seen, or the answer is that steps were not rightly merged."""
    assert differences(shipped_scenarios()["huge-over-table"], changed(kind, *PRIVATE_PAGES[kind])) == []


def test_a_page_that_is_linked_is_not_filled_in_the_step_that_unlinks_it() -> None:
    """The condition of the filling is decided where it stands: here it is false, and the two statements are two steps."""
    code = changed("", *PRIVATE_PAGES["a page is filled after it was unlinked"])
    made = build(shipped_scenarios()["huge-over-table"], code)
    for step in made.software.steps.values():
        graph = made.software.graphs[step.role]
        names = [graph.nodes[n].name for n, _ in step.effects if isinstance(graph.nodes[n], Op)]  # type: ignore[attr-defined]
        assert "tdp_mmu_init_split_sp" not in names or "tdp_mmu_unlink_sp" not in names


EACH_ROOT = "\tfor_each_tdp_mmu_root(kvm, root)\n"
ZAP = EACH_ROOT + "\t\ttdp_mmu_zap_leafs(kvm, root, start, last, false, false);\n\tkvm_flush"
PUT = EACH_ROOT + "\t\tkvm_put_tdp_root(root);\n"
RELOAD = "\tkvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);\n"


def test_what_the_machine_writes_under_no_lock_is_not_local() -> None:
    """A vCPU that is told to leave its root may do so whatever lock a thread holds."""
    code = changed("", ZAP, PUT + RELOAD + ZAP, "mmu.c")
    scenario = shipped_scenarios()["mm-exit"]
    scenario = with_values(scenario, hardware=with_values(scenario.hardware, cpu=True))

    assert differences(scenario, code) == []


def test_nothing_else_is_told_apart_for_what_the_machine_never_does() -> None:
    """Without such a request no vCPU leaves its root: the steps are those of a scenario without vCPUs."""
    scenario = shipped_scenarios()["mm-exit"]
    vcpus, none = (with_values(scenario, hardware=with_values(scenario.hardware, cpu=cpu)) for cpu in (True, False))

    assert len(build(vcpus, shipped()).software.locations) == len(build(none, shipped()).software.locations)


@pytest.mark.slow
def test_a_root_that_is_read_before_its_fault_begins_is_not_local() -> None:
    """Until then the vCPU may load another root; and a fault that never began is not ended."""
    code = changed("", "\tvcpu_fault_begin(vcpu);\n", "", "mmu.c")

    assert differences(shipped_scenarios()["fast-zap-private"], code) == []


def test_every_variable_that_the_machine_writes_is_known_to_be_written() -> None:
    """Computed from the terms of its actions, for each scenario that has them: nothing is declared."""
    scenario = shipped_scenarios()["notifier-vs-fault"]
    state = {v.name: v for v in parts.state()}
    written = {name for action in parts.actions(scenario) for name in of_action(action, state).writes}

    assert {u.var.name for action in parts.actions(scenario) for u in action.updates} == written


def with_values(record: Any, **values: Any) -> Any:
    """A scenario, or a part of one, with other values."""
    return type(record)(**{**{f: getattr(record, f) for f in record.__struct_fields__}, **values})


# Mutants


def leaves_of(function: ast.Function) -> Iterator[tuple[ast.Block, int]]:
    """Each statement that holds no other one: its block, and its place there."""
    for block in blocks(function.body):
        for n, inner in enumerate(block.statements):
            if isinstance(inner, ast.Evaluate | ast.Return | ast.Jump):
                yield block, n


def blocks(node: Any) -> Iterator[ast.Block]:
    if isinstance(node, ast.Block):
        yield node
    if dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            yield from blocks(getattr(node, field.name))
    elif isinstance(node, tuple):
        for part in node:
            yield from blocks(part)


def put(node: Any, old: ast.Block, new: ast.Block) -> Any:
    """`node` with one block in place of another."""
    if node is old:
        return new
    if isinstance(node, tuple):
        return tuple(put(part, old, new) for part in node)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        values = {f.name: getattr(node, f.name) for f in dataclasses.fields(node)}
        rebuilt = {name: put(value, old, new) for name, value in values.items()}
        return node if all(rebuilt[n] is values[n] for n in values) else replace(node, **rebuilt)
    return node


def without(block: ast.Block, place: int) -> ast.Block:
    return replace(block, statements=(*block.statements[:place], *block.statements[place + 1 :]))


def with_(block: ast.Block, place: int, statement: ast.Stmt) -> ast.Block:
    return replace(block, statements=(*block.statements[:place], statement, *block.statements[place:]))


def mutant(function: ast.Function, rng: random.Random, *, aimed: bool) -> tuple[str, ast.Function] | None:
    """The function with a statement deleted, doubled, moved, or swapped with the next one; aimed, it is one that calls a mover."""
    found = list(leaves_of(function))
    if aimed:
        found = [(b, n) for b, n in found if any(name in str(b.statements[n]) for name in MOVERS)]
    if not found:
        return None
    block, place = rng.choice(found)
    statement = block.statements[place]
    how = rng.choice(("delete", "double", "swap", "move"))
    if how == "delete":
        return how, put(function, block, without(block, place))
    if how == "swap":
        if place + 1 >= len(block.statements):
            return None
        return how, put(function, block, with_(without(block, place), place + 1, statement))
    other, there = rng.choice(list(leaves_of(function)))
    if how == "double":
        return how, put(function, other, with_(other, there, statement))
    if other is block:
        return how, put(function, block, with_(without(block, place), min(there, len(block.statements) - 1), statement))
    if not isinstance(statement, ast.Evaluate):
        return None
    moved = put(function, block, without(block, place))
    return how, put(moved, next(b for b in blocks(moved) if b.statements == other.statements), with_(other, there, statement))


@cache
def entered(name: str) -> frozenset[str]:
    """The functions that run in a scenario."""
    return frozenset(f for g in build(shipped_scenarios()[name], shipped()).software.graphs.values() for f in g.inlined)


def mutants(count: int, seed: int, *, aimed: bool) -> Iterator[tuple[str, Code, Model]]:
    """So many mutants that compile, each with its model in a scenario that runs what was changed."""
    rng = random.Random(f"{seed} {aimed}")
    code = shipped()
    scenarios = {name: shipped_scenarios()[name] for name in SMALL}
    runs = {name: entered(name) for name in SMALL}
    made = 0
    while made < count:
        name = rng.choice(sorted(scenarios))
        function = rng.choice(sorted((runs[name] & code.functions.keys()) | {t.entry for t in scenarios[name].thread}))
        found = mutant(code.functions[function], rng, aimed=aimed)
        if found is None:
            continue
        how, after = found
        other = replace(code, functions={**code.functions, function: after}, digest=f"{seed} {aimed} {made}")
        try:
            model = build(scenarios[name], other)
        except TdpcheckError:
            continue
        made += 1
        yield f"{name}: {how} in {function}, number {made}", other, model


@pytest.mark.slow
@pytest.mark.parametrize("aimed", [False, True], ids=["random", "aimed"])
def test_mutants_answer_alike_with_and_without_merging(aimed: bool) -> None:
    """Verdicts and reachable goals agree; where a condition of merging is not met, what merging misses is not claimed to hold."""
    differing, told = {}, 0
    for what, code, model in mutants(AIMED if aimed else RANDOM, SEED, aimed=aimed):
        found = differences(model.scenario, code, model)
        told += found is not None
        if found:
            differing[what] = found

    assert differing == {}
    assert told
