"""A graph in the node-link form of JSON that networkx, D3 and others read."""

from __future__ import annotations

import json

import networkx as nx

from .graph import Graph


def node_link(graph: Graph) -> bytes:
    """The graph as JSON, the same bytes for the same graph."""
    return (json.dumps(nx.node_link_data(graph, edges="edges"), indent=1, sort_keys=True) + "\n").encode()
