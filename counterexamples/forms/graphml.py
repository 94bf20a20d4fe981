"""The graphs as GraphML, which Gephi, yEd, Cytoscape and networkx read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from ..graph import Graph, state_graph, story_graph
from ..schema import Cex


def graphml(cex: Cex) -> str:
    """The machine in the state that violates the property."""
    return written(state_graph(cex))


def graphml_steps(cex: Cex) -> str:
    """The steps, and what they have to do with each other."""
    return written(story_graph(cex))


def written(graph: Graph) -> str:
    """Any graph of this room."""
    # The generator never takes lxml, where that is installed, so the bytes are the same everywhere.
    lines = nx.generate_graphml(_plain(graph), named_key_ids=True, edge_id_from_attribute="id")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join(lines) + "\n"


def _plain(graph: Graph) -> Graph:
    """With an id for each edge, and without what XML forbids."""
    copy: Graph = nx.MultiDiGraph()
    copy.graph.update(_clean_all(graph.graph))
    for name, data in graph.nodes(data=True):
        copy.add_node(_clean(name), **_clean_all(data))
    for number, (a, b, key, data) in enumerate(graph.edges(keys=True, data=True)):
        copy.add_edge(_clean(a), _clean(b), key=key, id=f"e{number}", **_clean_all(data))
    return copy


def _clean_all(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _clean(value) if isinstance(value, str) else value for name, value in data.items()}


def _clean(words: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in words)
