"""The story says what is in the run, and nothing else."""

from __future__ import annotations

import re

import msgspec
import pytest

from tdpcheck.counterexamples.schema import Cex, Change, Instance
from tdpcheck.counterexamples.story import story
from tdpcheck.tests.counterexamples.planted import FAULTS
from tdpcheck.tests.counterexamples.test_causes import of_museum

EACH = pytest.mark.parametrize("name", FAULTS)


def with_change(cex: Cex, number: int, *changes: Change) -> Cex:
    """The run in which a step changes these cells, too."""
    steps = list(cex.steps)
    steps[number - 1] = msgspec.structs.replace(steps[number - 1], changes=(*steps[number - 1].changes, *changes))
    return msgspec.structs.replace(cex, steps=tuple(steps))


def step_of(cex: Cex, cell: str) -> int:
    return next(s.number for s in cex.steps if any(c.cell == cell for c in s.changes))


@EACH
def test_a_story_speaks_only_of_steps_and_actors_of_its_run(name: str) -> None:
    """A step that is named is there, and who is said to take it takes it."""
    kept = FAULTS[name].kept
    told = story(kept)
    steps = [int(n) for n in re.findall(r"step (\d+)", told)]

    assert steps
    assert max(steps) <= kept.depth
    for actor, clause, number in re.findall(rf"({'|'.join(a.name for a in kept.actors)}) ([^,.]*?) \(step (\d+)\)", told):
        assert actor == kept.steps[int(number) - 1].actor, clause


@EACH
def test_a_story_is_told_of_every_kind_of_violation(name: str) -> None:
    """The sentence that fits everything is for properties that nobody has written a story for."""
    assert "After that," not in story(FAULTS[name].kept)


def test_a_property_without_a_story_is_told_plainly() -> None:
    """A new property has a truthful report before anybody writes its story."""
    kept = FAULTS["skip-iotlb-flush"].kept
    plain = msgspec.structs.replace(
        kept, prop=msgspec.structs.replace(kept.prop, name="another"), violation=(Instance("this is so"),)
    )  # fmt: skip

    assert f"{kept.steps[-1].actor}: {kept.steps[-1].label} (step 7). After that, this is so." == story(plain)


def test_an_instance_that_speaks_of_nothing_known_is_told_plainly() -> None:
    """Documents of strangers may lack what a story needs."""
    kept = FAULTS["skip-iotlb-flush"].kept
    bare = msgspec.structs.replace(kept, violation=(Instance("odd", {"iommu": "x", "gfn": 0, "frame": 0, "huge": False}, ("a",)),))

    assert "After that, odd." in story(bare)


def test_an_invalidation_that_is_queued_is_not_called_missing() -> None:
    """'Nobody invalidates' and 'the invalidation has not completed' are two different faults."""
    kept = FAULTS["skip-iotlb-flush"].kept
    gfn = kept.violation[0].at["gfn"]
    queued = with_change(kept, kept.depth, Change("inv_submitted[0,0,0]", False, True), Change(f"inv_gfn[0,0,0,{gfn}]", False, True))

    assert "No IOTLB invalidation" in story(kept)
    assert "The invalidation that notifier queued has not completed" in story(queued)
    assert "No IOTLB invalidation" not in story(queued)


def test_an_invalidation_that_came_too_early_is_named() -> None:
    """The fix is to move it, not to add one."""
    kept = FAULTS["skip-iotlb-flush"].kept
    gfn = kept.violation[0].at["gfn"]
    begun = msgspec.structs.replace(kept, initial=kept.initial | {"inv_submitted[0,0,0]": True, f"inv_gfn[0,0,0,{gfn}]": True})
    early = with_change(begun, 1, Change("inv_submitted[0,0,0]", True, False), Change(f"inv_gfn[0,0,0,{gfn}]", True, False))

    assert f"The IOTLB invalidation of gfn {gfn} completed earlier, in step 1" in story(early)


def test_a_frame_in_new_hands_is_not_called_free() -> None:
    """That somebody else owns it is the worse news."""
    kept = FAULTS["skip-iotlb-flush"].kept
    frame = kept.violation[0].at["frame"]
    taken = msgspec.structs.replace(kept, steps=tuple(
        msgspec.structs.replace(s, changes=tuple(c for c in s.changes if c.cell != f"frame_free[{frame}]")) for s in kept.steps
    ))  # fmt: skip

    assert "which is free" in story(kept)
    assert "which is free" not in story(taken)
    assert "which now belongs to the host" in story(taken)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fault-without-retry", "nested-invalidation-forgotten"])
def test_who_maps_a_page_again_is_part_of_the_story(name: str) -> None:
    """The host takes a frame back that a fault maps again: without the fault nobody understands how the IOMMU came to cache it."""
    told = story(of_museum(name).cex)

    assert re.search(r"io_fault (resolves the pfn of gfn 0: A \(step \d+\), .*io_fault )?maps gfn 0 -> A in the table \(step \d+\)", told)
    assert "The table still maps" not in told


def test_what_was_cached_after_the_frame_was_given_back_is_not_said_to_be_there_still() -> None:
    """'Still' would send the reader to look for a flush that is missing; here the mapping itself is new."""
    kept = FAULTS["skip-iotlb-flush"].kept
    gfn = kept.violation[0].at["gfn"]
    new = with_change(kept, 3, Change(f"iotlb_valid[0,{gfn}]", True, False))
    new = with_change(new, kept.depth, Change(f"iotlb_valid[0,{gfn}]", False, True))

    assert "can still read and write frame" in story(kept)
    assert "can read and write frame" in story(new)


def test_a_read_only_translation_lets_a_device_read_alone() -> None:
    """What the device can reach is what its IOTLB entry permits."""
    kept = FAULTS["skip-iotlb-flush"].kept
    gfn = kept.violation[0].at["gfn"]
    cell = f"iotlb_writable[0,{gfn}]"
    number = step_of(kept, cell)
    steps = list(kept.steps)
    steps[number - 1] = msgspec.structs.replace(
        steps[number - 1], changes=tuple(c for c in steps[number - 1].changes if c.cell != cell)
    )  # fmt: skip

    assert "can still read and write frame" in story(kept)
    assert "can still read frame" in story(msgspec.structs.replace(kept, steps=tuple(steps)))
