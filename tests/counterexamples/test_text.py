"""The report that goes into a mail: the words are kept, and it fits whatever it tells of."""

from __future__ import annotations

import re
import subprocess

import msgspec
import pytest
from markupsafe import escape

from tdpcheck.counterexamples.command import renamed
from tdpcheck.counterexamples.facts import is_noise, start
from tdpcheck.counterexamples.folding import WIDTH
from tdpcheck.counterexamples.forms.html import html
from tdpcheck.counterexamples.forms.text import ROWS, text
from tdpcheck.counterexamples.schema import Actor, Cex, Change, Instance, Step, file_name
from tdpcheck.tests.counterexamples.planted import FAULTS, GOLDEN

EACH = pytest.mark.parametrize("name", FAULTS)


def table(report: str) -> list[str]:
    """The lines between the story and what is violated."""
    parts = report.split("\n\n")
    return parts[next(n for n, part in enumerate(parts) if part.startswith("=> ")) - 1].splitlines()


def crowd(cex: Cex, count: int, steps: int, name: str) -> Cex:
    """The same document with many actors who take many steps."""
    actors = tuple(Actor(f"{name}{i}", "thread", "f") for i in range(count))
    step = cex.steps[-1]
    made = tuple(msgspec.structs.replace(step, number=n, actor=actors[n % count].name) for n in range(1, steps + 1))
    return msgspec.structs.replace(cex, actors=actors, steps=made, depth=steps)


@EACH
def test_the_report_is_the_one_that_was_reviewed(name: str) -> None:
    """Golden output; `python -m tdpcheck.tests.counterexamples.planted` makes it again."""
    assert (GOLDEN / f"{name}.txt").read_text() == text(FAULTS[name].kept)


@EACH
def test_the_report_can_be_pasted_into_a_commit_message(name: str) -> None:
    """Mail and `git log` want ASCII, no tabs, and lines that leave room to be quoted."""
    report = text(FAULTS[name].kept)

    assert report.isascii()
    assert "\t" not in report
    assert max(len(line) for line in report.splitlines()) <= WIDTH
    assert not any(line != line.rstrip() for line in report.splitlines())
    assert len(table(report)) <= ROWS


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("name", ["f", "a_role_with_quite_a_long_name_"])
def test_any_number_of_actors_fits(count: int, name: str) -> None:
    """With more than four lanes there is one column that says who."""
    report = text(crowd(FAULTS["skip-iotlb-flush"].kept, count, 40, name))

    assert max(len(line) for line in report.splitlines()) <= WIDTH
    assert len(table(report)) <= ROWS
    assert "steps folded: the table has no room for all" in report
    assert (re.search(r"^ +-+( +-+)*$", report, re.MULTILINE) is not None) == (count <= 4)


def test_steps_of_the_story_stay_where_the_table_has_no_room() -> None:
    """The story says 'step 2': the reader looks for it in the table."""
    kept = FAULTS["skip-iotlb-flush"].kept
    queued = msgspec.structs.replace(kept.steps[2], changes=(), label="waits", effects=("waits",))
    middle = tuple(msgspec.structs.replace(queued, number=n) for n in range(4, 34))
    steps = (*kept.steps[:3], *middle, *(msgspec.structs.replace(s, number=s.number + 30) for s in kept.steps[3:]))
    report = text(msgspec.structs.replace(kept, steps=steps, depth=37, causes=(), missing=None, near_miss=None))
    shown = {int(line[:2]) for line in table(report) if line[:2].strip().isdigit()}

    assert {int(n) for n in re.findall(r"step (\d+)", report)} <= shown
    assert ROWS == len(table(report))


def test_labels_of_strangers_cannot_break_the_report() -> None:
    """A document may come from anywhere; control characters in a mail are not for us to pass on."""
    kept = FAULTS["skip-iotlb-flush"].kept
    steps = tuple(msgspec.structs.replace(s, label="caf\u00e9 \x1b[31m " + "x" * 200) for s in kept.steps)
    report = text(msgspec.structs.replace(kept, steps=steps, change="a\tb\u202e", violation=(Instance("w" * 300),)))

    assert report.isascii()
    assert not any(ord(c) < 32 and c != "\n" for c in report)
    assert max(len(line) for line in report.splitlines()) <= WIDTH


@EACH
def test_what_breaks_the_property_is_never_folded(name: str) -> None:
    """Folding is for what a reader does not need."""
    kept = FAULTS[name].kept

    assert not is_noise(kept, kept.steps[-1])
    assert not any(is_noise(kept, step) for step in kept.steps if step.effects)


def test_a_step_that_only_moves_its_thread_along_is_folded() -> None:
    """Leaving an RCU read side that nobody waits for tells a reader nothing."""
    kept = FAULTS["skip-iotlb-flush"].kept
    folded = [step for step in kept.steps if is_noise(kept, step)]

    def machine(step: Step) -> set[str]:
        return {c.cell.partition("[")[0] for c in step.changes if "." not in c.cell} - {"pc"}

    assert [{"rcu_reader"}] == [machine(step) for step in folded]


def test_a_lock_that_lets_another_thread_in_is_not_folded() -> None:
    """To drop mmu_lock changes nothing but a lock; where another thread takes it next, that is the race."""
    kept = FAULTS["skip-iotlb-flush"].kept
    drop = msgspec.structs.replace(
        kept.steps[4], effects=(), label="write-unlocks mmu_lock", reads=(), changes=(Change("mmu_writer[0]", True, False),)
    )
    take = msgspec.structs.replace(kept.steps[5], actor="fault", changes=(Change("mmu_writer[1]", False, True),))
    alone = msgspec.structs.replace(kept, steps=(*kept.steps[:4], drop, *kept.steps[5:]))
    handed = msgspec.structs.replace(alone, steps=(*alone.steps[:5], take, *alone.steps[6:]))

    assert is_noise(alone, drop)
    assert not is_noise(handed, drop)


def test_where_the_sequence_is_read_is_not_folded() -> None:
    """A fault that does not retry is about that line."""
    assert "reads mmu_invalidate_seq" in text(FAULTS["never-retry"].kept)


def test_an_assertion_is_told_with_its_line_its_callers_and_the_lock() -> None:
    """'Assertion is false' helps nobody who cannot see how one comes there, and under which lock."""
    report = " ".join(text(FAULTS["zap-under-read-lock"].kept).split())

    assert "comes to mmu_invalidate_in_progress_add(kvm, start, last) at kvm_main.c:23 in" in report
    assert "called by mmu_notifier_unmap(): kvm->mmu_invalidate_in_progress changes without mmu_lock for writing (step 1)" in report
    assert "It holds mmu_lock for reading, taken at kvm_main.c:22 in kvm_mmu_notifier_invalidate_range_start()" in report
    assert "=> lockdep_assert_held_write at tdp_mmu.c:77 fails." in report


def test_a_lock_that_is_left_too_early_is_told_with_its_line() -> None:
    """The property speaks of mmu_lock: a reader asks where it is dropped, and who called that."""
    report = " ".join(text(FAULTS["yield-unflushed"].kept).split())

    assert "drops mmu_lock and the RCU read side at tdp_mmu.c:61 in tdp_mmu_iter_cond_resched(), called by tdp_mmu_zap_leafs()" in report


@EACH
def test_the_report_says_whose_lines_it_counts(name: str) -> None:
    """A patched file has other numbers than the tree that a reader has open."""
    kept = FAULTS[name].kept
    report = " ".join(text(kept).split())

    assert "Lines: our kernel C, model/kernel/*.c" in report
    assert ("with the change applied" in report) == (kept.change is not None)
    assert ("The change: " in report) == bool(kept.changed)


def test_the_report_says_what_a_run_begins_with() -> None:
    """What nobody changes is seen in no step."""
    kept = FAULTS["register-unchecked"].kept
    other = msgspec.structs.replace(kept, initial=kept.initial | {"coherent[1]": False, "attached[0]": True})

    assert "root 0 maps nothing; the host backs gfn 0-1 -> A-B; device 0 is not attached; device 1 is not attached" == start(kept)
    assert "device 0 is attached; device 1 is not attached, and its DMA is non-coherent" in start(other)
    assert "root 0, exported, maps gfn 0-1 -> A-B" in start(FAULTS["skip-iotlb-flush"].kept)


@pytest.mark.parametrize("name", ["a.cex.json", f"out/{'scenario-' * 9}.{'p' * 70}.cex.json", "a folder/with spaces.cex.json"])
def test_a_command_is_one_that_a_shell_reads_however_long_the_name(name: str) -> None:
    """Files are named after changes, and changes after their subjects."""
    report = renamed(text(FAULTS["skip-iotlb-flush"].kept), FAULTS["skip-iotlb-flush"].kept, name)
    (command,) = re.findall(r"tdpcheck replay (?:.*\\\n)*.*", report)

    assert max(len(line) for line in report.splitlines()) <= WIDTH
    words = subprocess.run(
        ["sh", "-c", command.replace("tdpcheck", "printf '%s\\n'", 1)], capture_output=True, text=True, check=True
    ).stdout
    assert ["replay", name, "--change", "skip-iotlb-flush.patch"] == words.splitlines()


def test_the_mail_in_a_page_calls_the_document_by_its_name_too() -> None:
    """It is copied from there."""
    kept = msgspec.structs.replace(FAULTS["skip-iotlb-flush"].kept, change="it's & that.patch")
    name = f"{'long-' * 20}.cex.json"
    page = renamed(html(kept), kept, name)

    assert str(escape(renamed(text(kept), kept, name))) in page
    assert file_name(kept) not in page


def test_a_name_that_is_long_by_itself_is_broken() -> None:
    """Two scenarios have names that, with that of a property, are wider than a mail."""
    kept = FAULTS["skip-iotlb-flush"].kept
    wide = msgspec.structs.replace(kept, scenario=msgspec.structs.replace(kept.scenario, name="partial-unmap-vs-iofault-of-two-roots"))

    assert max(map(len, text(wide).splitlines())) <= WIDTH
    assert "renamed.cex.json" in renamed(text(wide), wide, "renamed.cex.json")


def test_a_violation_in_the_first_state_has_a_report() -> None:
    """A scenario may begin wrong: there is no step to show."""
    kept = FAULTS["invalidate-exported"].kept
    last = msgspec.structs.replace(kept, steps=(), depth=0, initial=kept.initial | {"root_invalid[0]": True})

    assert "Actors: none; idle: fast_zap and fault." in text(last)
    assert "=> iommu 0 walks root 0, which is invalid." in text(last)
