"""The machine as an outline: everything that a state's picture shows, in lines."""

from __future__ import annotations

import pytest

from tdpcheck.counterexamples.graph import state_graph
from tdpcheck.counterexamples.outline import outline

from .planted import FAULTS


def drawn(name: str, step: int | None = None) -> list[str]:
    lines = outline(state_graph(FAULTS[name].kept, step))
    marks = [("!" if x.violating else "~" if x.stale else " ") + ("*" if x.changed else " ") for x in lines]
    return [f"{mark}{'  ' * x.level}{x.text}" for mark, x in zip(marks, lines, strict=True)]


def test_the_end_of_a_run_with_a_stale_translation() -> None:
    assert drawn("skip-iotlb-flush") == [
        "  shared page table",
        "    root 0 (exported)",
        "      region 0: table 0",
        "        table 0 (linked)",
        "          gfn 0: none",
        "          gfn 1: B",
        "  what the IOMMU and the vCPUs hold",
        "    device 0 (behind iommu 0)",
        "    iommu 0 (walks root 0)",
        "!     IOTLB gfn 0: A (stale)",
        "      PSC region 0: table 0",
        "    vcpu 0, flush pending (walks root 0)",
        "  host memory",
        " *  gfn 0 (unmapped)",
        "    gfn 1 (frame B)",
        " *  frame A (free)",
        "  threads and locks",
        "    notifier, invalidates gfn 0, owes a flush of gfn 0",
        "    fault",
    ]


@pytest.mark.parametrize("name", list(FAULTS))
def test_nothing_that_the_picture_shows_is_left_out(name: str) -> None:
    """A frame that backs a gfn is named with it; all else has a line of its own."""
    for step in range(FAULTS[name].kept.depth + 1):
        graph = state_graph(FAULTS[name].kept, step)
        text = "\n".join(drawn(name, step))
        for node, data in graph.nodes(data=True):
            assert (node if data["kind"] == "frame" else data["label"].replace("\n", ", ")) in text
        wrong = [data["violating"] for _, data in graph.nodes(data=True)] + [data["violating"] for _, _, data in graph.edges(data=True)]
        assert any(line.startswith("!") for line in drawn(name, step)) == any(wrong)
