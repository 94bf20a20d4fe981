"""A part of the machine that exists in this file alone is told in every form: its declaration is all that a form needs."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import z3
from msgspec import structs

import tdpcheck
from tdpcheck.cli.explorer.session import Session
from tdpcheck.cli.explorer.view import picture as drawn
from tdpcheck.cli.explorer.view import view
from tdpcheck.core.sorts import Sort, StateVar
from tdpcheck.core.system import Action, Param, Update, bool_var, set_at
from tdpcheck.counterexamples.entries import entries
from tdpcheck.counterexamples.graph import state_graph
from tdpcheck.counterexamples.picture import picture
from tdpcheck.counterexamples.schema import Cex, Instance
from tdpcheck.model.machine import parts
from tdpcheck.model.machine.host import translated
from tdpcheck.model.machine.parts import Part
from tdpcheck.model.machine.sorts import FRAME, GFN, IOMMU
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.model.view.naming import frame_name, gfns
from tdpcheck.model.view.roles import OTHER_BOX, Actor, Assumption, Cache, Mark, Number, Telling, Thing
from tdpcheck.runner.telling.rendering import render

SCENARIO = "notifier-vs-fault"
GFN_PARAM = Param("gfn", GFN)

# Things of a sort of their own, with a truth value and a number.

DOG = Sort("Watchdog")
DOG_PARAM = Param("dog", DOG)
armed = bool_var("watchdog_armed", DOG, doc="the watchdog waits for its gfn")
watched = StateVar("watchdog_gfn", (DOG,), GFN, "that gfn")
WATCHDOG = Part(
    "watchdog",
    (armed, watched),
    lambda scenario: [Update(armed, armed.variables(), z3.BoolVal(False)), Update(watched, watched.variables(), GFN.element(0))],
    lambda scenario: (
        Action(
            "watchdog_arm",
            "watchdog",
            (DOG_PARAM, GFN_PARAM),
            z3.Not(armed(DOG_PARAM.const)),
            (set_at(armed, (DOG_PARAM.const,), z3.BoolVal(True)), set_at(watched, (DOG_PARAM.const,), GFN_PARAM.const)),
            "arms",
        ),
    ),
    sorts=(DOG,),
    sizes=lambda scenario: {DOG.name: 2},
    told=(
        Telling(
            things=(
                Thing(
                    "watchdog",
                    (DOG,),
                    OTHER_BOX,
                    "watchdogs",
                    "#fce4ec",
                    marks=(Mark(armed, table="armed", note="armed", on="arms watchdog {0}", off="stops watchdog {0}"),),
                    numbers=(Number(watched, lambda view, n: gfns([n]), "watches ", step="watches {value}"),),
                ),
            ),
            assumed=(Assumption("a watchdog is armed at any time", ("watchdog_arm",)),),
            actors=(Actor("watchdog", "#fce4ec"),),
        ),
    ),
)

# Something of which there is one: as the how-to has it.

HOW_TO = Path(tdpcheck.__file__).parent / "docs" / "how-to" / "machine-part.md"


def part_of_the_how_to() -> Part:
    """The part that the how-to writes, as if its text stood in a file of `model/machine`."""
    code, _, line = re.findall(r"```(?:python|text) file=[^\n]*\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    module: dict[str, Any] = {"__name__": "tdpcheck.model.machine.scrubber", "__package__": "tdpcheck.model.machine"}
    exec(compile(code, HOW_TO.name, "exec"), module)
    (part,) = eval(line.strip(), {"Part": Part, "scrubber": SimpleNamespace(**module)})
    assert isinstance(part, Part)
    return part


SCRUBBER = part_of_the_how_to()

# A cache that every IOMMU has.

held = bool_var("filter_valid", IOMMU, GFN, doc="the filter has an entry of the gfn")
frame = StateVar("filter_frame", (IOMMU, GFN), FRAME, "its frame")
IOMMU_PARAM, FRAME_PARAM = Param("iommu", IOMMU), Param("frame", FRAME)
AT = (IOMMU_PARAM.const, GFN_PARAM.const)
FILTER = Part(
    "filter",
    (held, frame),
    lambda scenario: [Update(held, held.variables(), z3.BoolVal(False)), Update(frame, frame.variables(), FRAME.element(0))],
    lambda scenario: (
        Action(
            "filter_fill",
            "filter",
            (IOMMU_PARAM, GFN_PARAM, FRAME_PARAM),
            z3.Not(held(*AT)),
            (set_at(held, AT, z3.BoolVal(True)), set_at(frame, AT, FRAME_PARAM.const)),
        ),
    ),
    told=(
        Telling(
            caches=(
                Cache(
                    name="filter",
                    sorts=(IOMMU, GFN),
                    key=lambda at: f"filter {at[0]}.{at[1]}",
                    group="IOMMU",
                    owner="iommu",
                    valid=held,
                    value=frame,
                    tag=lambda n: gfns([n]),
                    show=lambda view, n: frame_name(n),
                    maps=lambda view, at: (translated(view, at[1], view.number(frame, *at)),),
                ),
            ),
            actors=(Actor("filter"),),
        ),
    ),
)


PARTS = (WATCHDOG, SCRUBBER, FILTER)
STEPS = {
    "watchdog": "watchdog 1: arms watchdog 1; watches gfn 1",
    "scrubber": "scrubber: scrubs frame C",
    "filter": "filter: filter: gfn 0 -> B",
}


@pytest.fixture(scope="module")
def model() -> Model:
    """A shipped scenario on a machine that has these parts, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PARTS", (*parts.PARTS, *PARTS))
        scenario = shipped_scenarios()[SCENARIO]
        return build(scenario, parse_source(shipped_source(scenario.design)))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has them."""
    monkeypatch.setattr(parts, "PARTS", (*parts.PARTS, *PARTS))


def taken(model: Model, label: str) -> Session:
    """A run of the one step that reads so."""
    session = Session(model, ["no_stale_io_mapping"])
    labels = [f"{c.step.actor}: {c.label}" for c in session.choices]
    assert label in labels
    session.take(labels.index(label))
    return session


def document(session: Session) -> Cex:
    """The run as a counterexample: forms tell of nothing else."""
    return structs.replace(session.document, violation=(Instance("so it is said here"),))


def shapes(cex: Cex, form: str) -> str:
    return render(cex, form).decode()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("part", "line", "node"),
    [(WATCHDOG, "watchdog 1, armed", "watchdog 1"), (SCRUBBER, "scrubber, busy", "scrubber"), (FILTER, "filter gfn 0: B", "filter 0.0")],
    ids=[part.name for part in PARTS],
)
def test_it_appears_in_every_form(model: Model, part: Part, line: str, node: str) -> None:
    """No form names it: what a new part costs is its own file and a line in `parts`."""
    actor, _, words = STEPS[part.name].partition(": ")
    session = taken(model, STEPS[part.name])
    cex, shown = document(session), view(session)
    graph = state_graph(cex)
    names = {var.name for var in part.state}

    # The explorer: its lane, its step, the outline and the drawing.
    assert actor in [name for name, _ in shown.lanes]
    assert words == shown.steps[0].label
    assert any(line in x.text and x.changed for x in shown.machine)
    assert line.partition(",")[0] in drawn(session).decode()
    # The graph, and what is made of it.
    assert line == str(graph.nodes[node]["label"]).replace("\n", ", ")
    assert line.partition(",")[0] in shapes(cex, "dot")
    for form in ("graphml", "node-link"):
        assert line.partition(",")[0] in shapes(cex, form)
    # Words, pictures, the page.
    for form in ("text", "md", "mermaid", "svg", "svg-lanes", "svg-slide", "html"):
        assert actor in shapes(cex, form)
    assert words in shapes(cex, "text")
    assert words.partition(";")[0].replace("->", "-&gt;") in shapes(cex, "svg-lanes")
    assert line.partition(",")[0] in shapes(cex, "svg")
    assert [e.key for e in entries(cex)] == [node]
    found = {p.key: [look.text for look in p.looks] for p in picture(cex).parts}
    assert found[node][0] != found[node][1]
    assert f'data-part="{node}"' in shapes(cex, "html")
    # Nothing has to spell its variables for that.
    assert names == {c.cell.partition("[")[0] for c in cex.steps[0].changes}


@pytest.mark.usefixtures("machine")
def test_what_it_caches_is_stale_where_the_host_means_another_frame(model: Model) -> None:
    """A role brings its meaning along: a cache is drawn stale, and points at its frame."""
    cex = taken(model, STEPS["filter"]).document
    graph = state_graph(cex)
    edges = [(a, b, data["kind"]) for a, b, data in graph.edges(data=True) if "filter 0.0" in (a, b)]

    assert [("iommu 0", "filter 0.0", "owns"), ("filter 0.0", "frame B", "caches")] == edges
    assert graph.nodes["filter 0.0"]["stale"]
    assert (False, True) == next(e.stale for e in entries(cex) if e.key == "filter 0.0")


def test_a_document_that_speaks_of_parts_which_are_gone_is_told_without_them(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    """A stored document outlives the machine: what today's machine has is told, and nothing is made up."""
    with monkeypatch.context() as patch:
        patch.setattr(parts, "PARTS", (*parts.PARTS, *PARTS))
        documents = [document(taken(model, step)) for step in STEPS.values()]
    for cex in documents:
        assert not entries(cex)
        assert {"watchdog", "scrubber", "cache"}.isdisjoint(data["kind"] for _, data in state_graph(cex).nodes(data=True))
        for form in ("text", "md", "dot", "svg-lanes", "html", "mermaid", "itf"):
            assert render(cex, form)


def test_the_files_that_the_how_to_names_are_there() -> None:
    """A how-to that sends its reader astray is worse than none."""
    table = HOW_TO.read_text(encoding="utf-8").partition("## The part\n")[0]
    beside = [name for name in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) if name not in ("model/machine/NAME.py", "tests/model/…")]
    assert {"model/machine/parts.py", "docs/machine.md", "model/scenario.py", "model/intrinsics/"} == set(beside)
    assert all((HOW_TO.parents[2] / name).exists() for name in beside)
