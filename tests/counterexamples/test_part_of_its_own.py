"""A part of the machine that exists in this file alone is told in every form: its declaration is all that a form needs."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import pytest
import z3
from msgspec import structs

from tdpcheck.cli.explorer.session import Session
from tdpcheck.cli.explorer.view import picture as drawn
from tdpcheck.cli.explorer.view import view
from tdpcheck.core.sorts import StateVar
from tdpcheck.core.system import Action, Param, Update, bool_var, set_at
from tdpcheck.counterexamples.entries import entries
from tdpcheck.counterexamples.graph import state_graph
from tdpcheck.counterexamples.picture import picture
from tdpcheck.counterexamples.schema import Cex, Instance
from tdpcheck.model.machine import parts
from tdpcheck.model.machine.host import translated
from tdpcheck.model.machine.parts import Part
from tdpcheck.model.machine.sorts import FRAME, GFN, IOMMU
from tdpcheck.model.naming import frame_name, gfns
from tdpcheck.model.roles import OTHER_BOX, Actor, Assumption, Cache, Mark, Number, Telling, Thing
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.runner.telling.rendering import formats, render

SCENARIO = "notifier-vs-fault"
GFN_PARAM = Param("gfn", GFN)

# Something of which there is one, with a truth value and a number.

armed = bool_var("watchdog_armed", doc="the watchdog waits for its gfn")
watched = StateVar("watchdog_gfn", (), GFN, "that gfn")
WATCHDOG = Part(
    "watchdog",
    (armed, watched),
    lambda scenario: [Update(armed, (), z3.BoolVal(False)), Update(watched, (), GFN.element(0))],
    lambda scenario: (
        Action(
            "watchdog_arm",
            "watchdog",
            (GFN_PARAM,),
            z3.Not(armed()),
            (set_at(armed, (), z3.BoolVal(True)), set_at(watched, (), GFN_PARAM.const)),
            "arms",
        ),
    ),
    told=(
        Telling(
            things=(
                Thing(
                    "watchdog",
                    (),
                    OTHER_BOX,
                    "watchdogs",
                    "#fce4ec",
                    marks=(Mark(armed, table="armed", note="armed", on="arms the watchdog", off="stops the watchdog"),),
                    numbers=(Number(watched, lambda view, n: gfns([n]), "watches ", step="watches {value}"),),
                ),
            ),
            assumed=(Assumption("the watchdog is armed at any time", ("watchdog_arm",)),),
            actors=(Actor("watchdog", "#fce4ec"),),
        ),
    ),
)

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


def model_with(part: Part, patch: pytest.MonkeyPatch) -> Model:
    """A shipped scenario on a machine that has the part, too."""
    patch.setattr(parts, "PARTS", (*parts.PARTS, part))
    scenario = shipped_scenarios()[SCENARIO]
    return build(scenario, parse_source(shipped_source(scenario.design)))


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


ARMS = "arms the watchdog; watches gfn 1"


@pytest.mark.parametrize(
    ("part", "step", "actor", "words", "line", "node"),
    [
        (
            WATCHDOG,
            "watchdog: arms the watchdog; watches gfn 1",
            "watchdog",
            "arms the watchdog; watches gfn 1",
            "watchdog, armed",
            "watchdog",
        ),
        (FILTER, "filter: filter: gfn 0 -> B", "filter", "filter: gfn 0 -> B", "filter gfn 0: B", "filter 0.0"),
    ],
    ids=["watchdog", "filter"],
)
def test_it_appears_in_every_form(
    monkeypatch: pytest.MonkeyPatch, part: Part, step: str, actor: str, words: str, line: str, node: str
) -> None:
    """No form names it: what a new part costs is its own file and a line in `parts`."""
    session = taken(model_with(part, monkeypatch), step)
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


def test_what_it_caches_is_stale_where_the_host_means_another_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role brings its meaning along: a cache is drawn stale, and points at its frame."""
    session = taken(model_with(FILTER, monkeypatch), "filter: filter: gfn 0 -> B")
    graph = state_graph(session.document)
    edges = [(a, b, data["kind"]) for a, b, data in graph.edges(data=True) if "filter 0.0" in (a, b)]

    assert [("iommu 0", "filter 0.0", "owns"), ("filter 0.0", "frame B", "caches")] == edges
    assert graph.nodes["filter 0.0"]["stale"]
    assert (False, True) == next(e.stale for e in entries(session.document) if e.key == "filter 0.0")
    assert nx.is_directed(graph)


def test_without_the_part_nothing_of_it_is_left() -> None:
    """The registry is asked each time; a part is no state of the process."""
    assert {"watchdog", "filter"}.isdisjoint(part.name for part in parts.PARTS)
    assert replace(WATCHDOG, told=()).told == ()


@pytest.mark.parametrize("part", [WATCHDOG, FILTER], ids=["watchdog", "filter"])
def test_a_document_that_speaks_of_a_part_which_is_gone_is_told_without_it(monkeypatch: pytest.MonkeyPatch, part: Part) -> None:
    """A stored document outlives the machine: what today's machine has is told, and nothing is made up."""
    label = {"watchdog": "watchdog: arms the watchdog; watches gfn 1", "filter": "filter: filter: gfn 0 -> B"}[part.name]
    cex = document(taken(model_with(part, monkeypatch), label))
    monkeypatch.undo()

    assert part.name not in {e.key.partition(" ")[0] for e in entries(cex)}
    for form in formats():
        assert render(cex, form)
