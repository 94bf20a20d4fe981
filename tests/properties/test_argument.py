"""The argument is told in full, about places that there are, and starts where the shipped scenarios start."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import msgspec
import pytest
import z3

from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.shape import subterms
from tdpcheck.core.sorts import Rigid, StateVar, element_index
from tdpcheck.core.system import Lemma
from tdpcheck.model import parametric as every_size
from tdpcheck.model.parametric import Parametric, parametric
from tdpcheck.model.program_points import Software
from tdpcheck.model.scenario import Scenario, Sizes, Start, Thread, shipped_scenarios
from tdpcheck.model.system import Code, KernelSource, assemble, compile_software, own_size, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.properties.argument.book import argument
from tdpcheck.tests.few import few

SCENARIOS = shipped_scenarios()
Given = tuple[str, str, dict[str, int | bool | str]]
WHOLE: dict[str, int | bool | str] = {"start": "first", "last": "last"}
ROLES: dict[str, tuple[Given, ...]] = {
    "exit": (("exit", "kvm_mmu_zap_all", WHOLE),),
    "sharing": (("share", "kvm_share_tdp", {}), ("register", "kvm_arch_register_noncoherent_dma", {})),
    "recovery": (("recover", "kvm_mmu_recover_huge_pages", {}),),
    "everything": (
        ("part", "mmu_notifier_unmap_part", {}),
        ("fault", "kvm_tdp_page_fault", {}),
        ("split", "kvm_mmu_slot_try_split_huge_pages", {}),
        ("recover", "kvm_mmu_recover_huge_pages", {}),
        ("zap", "set_nx_huge_pages", WHOLE),
        ("share", "kvm_share_tdp", {}),
    ),
}
ASKED = [pytest.param(name, marks=pytest.mark.slow) if name in ("everything", "recovery") else name for name in ROLES]


@cache
def code() -> Code:
    return parse_source(shipped_source("shared"))


def scenario(*threads: Given) -> Scenario:
    made = tuple(Thread(role, entry, given) for role, entry, given in threads)
    return Scenario("asked", "For any number of everything.", made, {"no_stale_io_mapping": "holds"}, start=Start(tables="pages"))


@cache
def model(name: str) -> Parametric:
    return parametric(scenario(*ROLES[name]), code())


@cache
def lemmas(name: str) -> tuple[Lemma, ...]:
    return argument(model(name), PROPERTIES["atomic_hugepage_split"])


@pytest.mark.parametrize("name", ASKED)
def test_every_lemma_says_what_it_says_and_why(name: str) -> None:
    for lemma in lemmas(name):
        for text in (lemma.sentence, lemma.because):
            assert text.endswith("."), lemma.name
            assert len(text.split()) > 4, lemma.name
    assert len({x.sentence for x in lemmas(name)}) == len(lemmas(name))


@pytest.mark.parametrize("name", ASKED)
def test_names_of_lemmas_are_unique(name: str) -> None:
    names = [x.name for x in lemmas(name)]
    assert len(set(names)) == len(names) > 40


@pytest.mark.parametrize("name", ASKED)
def test_lemmas_are_closed_and_speak_of_places_that_there_are(name: str) -> None:
    """And of the state and functions of the system, by their types."""
    system, pc = model(name).system, model(name).software.pc
    functions: tuple[StateVar | Rigid, ...] = (*system.state, *system.rigids)
    known = {x.name: x for x in functions}
    places = {model(name).software.at(x.name).decl().name() for x in model(name).software.locations}
    spoken_of = set()
    for lemma in lemmas(name):
        for node in subterms(lemma.holds):
            if not z3.is_app(node) or node.decl().kind() != z3.Z3_OP_UNINTERPRETED:
                continue
            if node.sort() == pc.kind.z3 and not node.num_args():
                assert node.decl().name() in places, (lemma.name, node)
                spoken_of.add(node.decl().name())
            elif node.num_args() or element_index(node) is None:
                assert node.decl().name() in known, (lemma.name, node)
                assert node.decl() == known[node.decl().name()].decl, (lemma.name, node)
    assert len(spoken_of) > len(places) // 2


@pytest.mark.slow
def test_argument_of_recovery_has_the_lemmas_that_recovery_needs() -> None:
    names = {x.name for x in lemmas("recovery")}
    assert {"recovered_block", "owes_io_pt_on_the_way", "psc_unlinked_is_owed", "one_unlinker"} <= names
    assert "pfn_is_current" not in names  # no faults here, nothing to say of them


@cache
def little() -> Software:
    """A thread that does little. It stands for every scenario's threads, which have no say in how the machine starts."""
    return compile_software(scenario(("drop", "kvm_arch_unregister_noncoherent_dma", {})), code(), ["drop"])


def starts(asked: Scenario) -> Iterator[tuple[Evaluator, tuple[int, ...]]]:
    """Each initial state at the scenario's own size, with an evaluator of the system for every size."""
    geometry = own_size(asked, 1)
    sized = assemble(asked, little(), every_size.rigids(asked))
    evaluator = Evaluator(every_size.at_every_size(asked, sized), geometry)
    for state in Evaluator(sized, geometry).initial():
        yield evaluator, state


ONE_OF_TWO = msgspec.structs.replace(
    SCENARIOS["notifier-two-roots"], geometry=Sizes(roots=2), start=Start(tables="pages", mapped_roots=1), name="one-root-of-two"
)


@pytest.mark.parametrize("asked", [*SCENARIOS.values(), ONE_OF_TWO], ids=lambda x: x.name)
def test_every_scenario_starts_as_every_size_does(asked: Scenario) -> None:
    found = 0
    for evaluator, state in starts(asked):
        assert evaluator.holds(every_size.start_condition(asked), state)
        assert evaluator.is_initial(state)
        found += 1
    assert found


def test_a_start_with_another_table_is_refused() -> None:
    """What is said of the start is not said of everything."""
    ((evaluator, state),) = starts(ONE_OF_TWO)
    for name, index, value in (
        ("pmd_kind", (1, 0), "table"),  # the second root holds nothing
        ("pmd_kind", (0, 0), "leaf"),
        ("pt_state", (0,), "free"),
        ("pt_state", (1,), "linked"),
        ("pte_kind", (0, 1), "none"),
        ("pte_kind", (1, 1), "leaf"),
        ("pte_frame", (0, 1), 2),
        ("host_frame", (1,), 2),
        ("frame_free", (0,), 1),
        ("pt_root", (0,), 1),
    ):
        var = evaluator.system.by_name[name]
        plain = value if isinstance(value, int) else var.kind.elements.index(value)  # type: ignore[union-attr]
        at = next(n for n, cell in enumerate(evaluator.layout.cells) if cell.var == var and cell.index == index)
        changed = (*state[:at], plain, *state[at + 1 :])
        assert changed != state
        assert not evaluator.holds(every_size.start_condition(ONE_OF_TWO), changed), (name, index)


LOST = "\trcu_read_unlock();\n\tbool lost;\n\n\treturn lost;\n"
UNSETTLED = {
    "what a walk picks": (
        "tdp_iter.c",
        "if (!tdp_walk_next(&iter->gfn, start, last))\n\t\treturn false;\n",
        "tdp_walk_next(&iter->gfn, start, last);\n",
        "eager-split-exclusive",
    ),
    "an answer that nobody gave": ("tdp_mmu.c", "\trcu_read_unlock();\n\treturn flush;\n", LOST, "notifier-two-roots"),
}


@pytest.mark.parametrize("what", few(reversed(UNSETTLED), 3))
@pytest.mark.slow
def test_lemmas_are_closed_where_a_flush_depends_on_what_is_not_settled(what: str) -> None:
    """A walk that goes on with any gfn, a function that returns what nobody set: no name of such a value must be left over in a lemma."""
    file, before, after, asked = UNSETTLED[what]
    source = shipped_source("shared")
    text = source.files[file].replace(before, after)
    changed = parse_source(KernelSource("shared", {**source.files, file: text}))
    told = argument(parametric(SCENARIOS[asked], changed), PROPERTIES["atomic_hugepage_split"])
    free = {str(x) for lemma in told for x in subterms(lemma.holds) if z3.is_const(x) and set("@%") & set(str(x))}

    assert text != source.files[file]
    assert set() == free
