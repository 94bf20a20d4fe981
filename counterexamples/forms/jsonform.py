"""A graph in the node-link form of JSON that networkx, D3 and others read."""

from __future__ import annotations

import json

import networkx as nx

from ..graph import Graph, state_graph, story_graph
from ..schema import Cex


def jsonform(cex: Cex) -> bytes:
    """The machine in the state that violates the property."""
    return node_link(state_graph(cex))


def jsonform_steps(cex: Cex) -> bytes:
    """The steps, and what they have to do with each other."""
    return node_link(story_graph(cex))


def node_link(graph: Graph) -> bytes:
    """The graph as JSON, the same bytes for the same graph."""
    return (json.dumps(nx.node_link_data(graph, edges="edges"), indent=1, sort_keys=True) + "\n").encode()
