"""What a step does is told from the change of the state, in the kernel's words."""

from __future__ import annotations

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.core.sorts import BOOL, Sort, StateVar
from tdpcheck.counterexamples.effects import effects, label, lesser_effects
from tdpcheck.counterexamples.schema import Value
from tdpcheck.counterexamples.why.violations import false_instances
from tdpcheck.model.machine import host, iommu, locks, parts, sorts, tables
from tdpcheck.model.scene import Scene
from tdpcheck.model.view.assertions import FAILED, broken
from tdpcheck.model.view.naming import cell, frame_name, gfns
from tdpcheck.model.view.roles import Cache, Entries, Queue, Telling
from tdpcheck.model.view.state_view import Changed, indices
from tdpcheck.properties import REGISTRY

SIZES = {
    "Gfn": 4, "Region": 2, "Slot": 2, "Block": 2, "Frame": 5, "Pt": 2, "Root": 1, "Vcpu": 1, "Iommu": 1, "Device": 1, "Thread": 2,
    "Desc": 1,
}  # fmt: skip
MAPPED: dict[str, Value] = {
    "pmd_kind[0,0]": "table", "pmd_pt[0,0]": 1, "pt_state[1]": "linked", "pt_region[1]": 0, "pte_kind[1,0]": "leaf", "pte_frame[1,0]": 0,
    "pte_kind[1,1]": "none", "pmd_kind[0,1]": "leaf", "pmd_block[0,1]": 1, "attached[0]": True, "coherent[0]": True,
    "host_mapped[0]": True, "host_frame[0]": 0, "host_mapped[2]": True, "host_frame[2]": 2, "host_mapped[3]": True, "host_frame[3]": 3,
}  # fmt: skip


QUEUED: dict[str, Value] = {"inv_submitted[0,0,0]": True, "inv_gfn[0,0,0,2]": True, "inv_table[0,0,0,2]": True}
NAMES = {sort.name: sort.elements for sort in (locks.LOCK,)} | {"Assertion": ("lockdep_assert_held at a.c:1",)}


def empty() -> dict[str, Value]:
    """A state in which nothing is so, and every index is 0."""
    nobody = Scene(SIZES, {}, (), NAMES)
    first: dict[str, Value] = {}
    for var in (*parts.state(), FAILED):
        kind = var.kind
        value = False if kind == BOOL else kind.elements[0] if isinstance(kind, Sort) and kind.elements else 0
        first |= {cell(var, *at): value for at in indices(nobody, *var.params)}
    return first


def after(changes: dict[str, Value]) -> Scene:
    return Scene(SIZES, empty() | MAPPED | changes, ("notifier", "fault"), NAMES)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pte_kind[1,0]": "none"}, "spte gfn 0: A -> none"),
        ({"pte_kind[1,0]": "frozen", "pte_kind[1,1]": "frozen"}, "freezes the entries of table 1"),
        ({"pte_frame[1,0]": 4}, "spte gfn 0: A -> E"),
        ({"pte_writable[1,0]": True}, "spte gfn 0: writable"),
        ({"pmd_kind[0,0]": "leaf"}, "pmd region 0: table 1 -> huge A-B"),
        ({"pmd_kind[0,1]": "none"}, "pmd region 1: huge C-D -> none"),
        ({"pt_state[0]": "private"}, "allocates table 0"),
        ({"pt_state[0]": "private", "pte_kind[0,0]": "leaf", "pte_frame[0,0]": 2}, "fills table 0: C; allocates table 0"),
        ({"pt_state[1]": "rcu"}, "call_rcu(table 1)"),
        ({"pt_state[1]": "free"}, "table 1 is freed"),
        ({"host_mapped[0]": False, "frame_free[0]": True}, "host unmaps gfn 0, frees A"),
        ({"host_mapped[1]": True, "host_frame[1]": 4}, "host maps gfn 1 to E"),
        ({"host_huge[0]": True}, "host maps region 0 huge"),
        ({"window[0,0]": True, "window[0,1]": True}, "invalidation of gfn 0-1 begins"),
        ({"inner_window[1,3]": True}, "nested invalidation of gfn 3 begins"),
        (QUEUED, "queues IOTLB invalidation of gfn 2"),
        ({"iotlb_valid[0,2]": True, "iotlb_frame[0,2]": 2}, "IOTLB: gfn 2 -> C"),
        ({"iotlb_huge[0,1]": True, "iotlb_block[0,1]": 1}, "IOTLB: region 1 -> huge C-D"),
        ({"psc_valid[0,0]": True, "psc_pt[0,0]": 1}, "PSC: region 0 -> table 1"),
        ({"flush_pending[0]": True, "in_guest[0]": False}, "KVM_REQ_TLB_FLUSH to all vCPUs"),
        ({"tlb_valid[0,3]": True, "tlb_frame[0,3]": 3}, "TLB: gfn 3 -> D"),
        ({"root_invalid[0]": True}, "root 0 becomes invalid"),
        ({"attached[0]": False}, "detaches device 0"),
        ({"mmu_writer[0]": True}, ""),
    ],
    ids=str,
)
def test_a_change_of_the_machine_has_its_words(changes: dict[str, Value], said: str) -> None:
    """The words must not depend on how an action is called, which changes with every line of C."""
    assert said == "; ".join(effects(after({}), after(changes), list(changes)))


def test_what_an_invalidation_drops_is_said() -> None:
    """That it drops what it should is what one looks for in the table."""
    held: dict[str, Value] = {**QUEUED, "iotlb_valid[0,2]": True, "iotlb_frame[0,2]": 2}
    gone: dict[str, Value] = held | {"inv_submitted[0,0,0]": False, "iotlb_valid[0,2]": False}

    assert ("completes invalidation of gfn 2", "IOTLB drops gfn 2 -> C") == effects(
        after(held), after(gone), ["inv_submitted[0,0,0]", "iotlb_valid[0,2]"]
    )


def test_parameters_take_their_places_in_a_label() -> None:
    """Parameters of merged steps are renamed, and the label speaks of them by their first name."""
    assert "host gives frame 3" == label("host gives frame {frame}", {"frame@7": 3}, "", (), (), "")
    assert "keeps {this}" == label("keeps {this}", {}, "", (), (), "")


def test_locks_are_told_where_they_matter() -> None:
    """A lock that is left lets others in; which one was taken is what a failed lockdep assertion is about."""
    taken = lesser_effects(after({}), after({"mmu_reader[0]": True, "rcu_reader[0]": True}), ["mmu_reader[0]", "rcu_reader[0]"])
    left = lesser_effects(after({"mmu_writer[0]": True}), after({}), ["mmu_writer[0]"])
    failed = broken("lockdep_assert_held_write at a.c:1")

    assert (("read-locks mmu_lock and enters the RCU read side",), ("write-unlocks mmu_lock",)) == (taken, left)
    assert "begins" == label("", {}, "", ("begins",), taken, "")
    assert "begins; write-unlocks mmu_lock" == label("", {}, "", ("begins",), left, "")
    assert f"{taken[0]}; begins; {failed}" == label("", {}, "", ("begins", failed), taken, "")
    assert "sees; write-unlocks mmu_lock" == label("", {}, "", (), left, "sees")


@pytest.mark.parametrize(("assertion", "verb"), [("lockdep_assert_held at a.c:1", "fails"), ("KVM_BUG_ON at a.c:1", "fires")])
def test_a_warning_fires_and_an_assertion_fails(assertion: str, verb: str) -> None:
    """WARN_ON(x) complains when x is true: to call it false says the opposite."""
    assert f"{assertion} {verb}" == broken(assertion)


def test_a_failed_cmpxchg_is_not_told_as_a_write() -> None:
    """That nothing was written is the point of it."""
    assert "try_cmpxchg64() changes nothing" == label("", {}, "try_cmpxchg64(iter->sptep, &iter->old_spte, new_spte)", (), (), "")


def test_numbers_are_grouped_as_people_write_them() -> None:
    """A range of gfns is a range; frames are letters so that nobody takes them for gfns."""
    assert "gfn 0-2,5" == gfns([5, 2, 0, 1])
    assert ["A", "Z", "F26"] == [frame_name(n) for n in (0, 25, 26)]


def test_a_role_has_words_of_its_own() -> None:
    """A part that says no more than which role its variables play is told all the same."""
    walked, queued = Telling(entries=(tables.UPPER,)), Telling(queues=(iommu.INVALIDATIONS,))
    split, asked = {"pmd_kind[0,1]": "none"}, {"inv_submitted[1,0,0]": True}

    assert ["pmd region 1: huge C-D -> none"] == [*walked.words(after({}), after({**split}), Changed([*split]))]
    assert ["queues the invalidation of fault"] == [*queued.words(after({}), after({**asked}), Changed([*asked]))]
    assert ["completes the invalidation of fault"] == [*queued.words(after({**asked}), after({}), Changed([*asked]))]


def seen_in(view: Scene) -> list[object]:
    """All that roles say of a state."""
    found: list[object] = []
    for thing in parts.things():
        for at in indices(view, *thing.sorts):
            found += [thing.flags_of(view, at), thing.notes_of(view, at), thing.headline_of(view, at)]
    roles: list[Entries | Cache | Queue] = [*parts.entries(), *parts.caches(), *parts.queues()]
    for role in roles:
        found += [role.flags(view, at) for at in indices(view, *role.sorts)]
    return found


def is_told(before: Scene, later: Scene, name: str) -> bool:
    """Whether a reader learns that a cell has changed."""
    return bool(effects(before, later, [name]) or lesser_effects(before, later, [name])) or seen_in(before) != seen_in(later)


UNTOLD = {
    "invalidating": "the window that makes it so is told",
    "seq_stale": "the end of an invalidation is told; what it is to a fault is told by where it reads the sequence",
    "memslot_invalid": "told by the statement that sets it",
    "handles_fault": "told by the statements of the fault",
    "srcu_waits": "told by the statement that waits",
    "host_block": "host_frame says the same, page by page",
    "rcu_waits": "drawn as an edge",
    "inv_table": "told with the invalidation in the queue",
    "pt_root": "told where entries of the page are",
    "pt_region": "names the entries of the page",
}
"""What no reader is shown by itself, and why not."""


def test_whatever_changes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that no role mentions would change in silence: it is told, or it says here why not."""
    monkeypatch.setitem(SIZES, "Root", 2)
    leaf: dict[str, Value] = {name: True if value is False else value for name, value in empty().items()}
    leaf |= {"pmd_kind[0,0]": "leaf", "pte_kind[0,0]": "leaf", "pt_state[0]": "linked"}
    silent = set()
    for var in (v for part in parts.PARTS if not part.ghost for v in part.state):
        name, kind = cell(var, *(0 for _ in var.params)), var.kind
        values: tuple[Value, ...] = (True, False)
        if isinstance(kind, Sort):
            values = kind.elements or tuple(range(SIZES[kind.name]))
        changes = [(after(base), after({**base, name: value})) for base in ({}, leaf) for value in values]
        if not any(is_told(x, y, name) for x, y in changes if x.values != y.values):
            silent.add(var.name)
    assert set(UNTOLD) == silent


def test_a_state_is_asked_for_what_it_has() -> None:
    """What a document does not know would read as false, and a report would leave something out in silence."""
    gone = StateVar("gone", (sorts.GFN,), BOOL)
    with pytest.raises(InputError, match=r"gone\[2\]"):
        after({}).is_set(gone, 2)
    with pytest.raises(InputError, match="iotlb_valid"):
        Scene(SIZES, MAPPED, (), NAMES).is_set(iommu.iotlb_valid, 0, 0)
    with pytest.raises(InputError, match="pt_state"):
        after({"pt_state[0]": 3}).word(tables.pt_state, 0)
    for frame in (-27, 5):
        with pytest.raises(InputError, match=r"host_frame\[0\] is"):
            after({"host_frame[0]": frame}).number(host.host_frame, 0)
    with pytest.raises(InputError, match="'torn'"):
        after({"pt_state[0]": "torn"}).word(tables.pt_state, 0)
    with pytest.raises(InputError, match="Lock"):
        Scene(SIZES, MAPPED, (), {}).each(locks.LOCK)


def test_every_property_has_witnesses_and_an_unknown_one_says_its_sentence() -> None:
    """A property without a finder would leave its pictures without a mark."""
    assert [] == [name for name, entry in REGISTRY.items() if (entry.find or entry.statements) is None or not entry.tellers]
    assert ["here it is false that: All is well."] == [i.sentence for i in false_instances("unknown", "All is well.", after({}))]


@pytest.mark.parametrize(
    ("prop", "changes", "said"),
    [
        ("no_stale_io_mapping", {"iotlb_huge[0,0]": True, "iotlb_block[0,0]": 0}, "gfn 1 to frame B (2 MiB entry)"),
        ("no_stale_io_mapping", {"psc_valid[0,0]": True, "psc_pt[0,0]": 0, "pt_state[0]": "free"}, "points to table 0, which is free"),
        ("atomic_hugepage_split", {"promised[0,1]": True}, "root 0 for gfn 1 finds nothing"),
        ("atomic_hugepage_split", {"promised[0,0]": True, "pte_frame[1,0]": 4}, "finds frame E"),
        ("no_stale_spte", {"root_ref_mmu[0]": True, "host_mapped[0]": False}, "maps gfn 0 to frame A"),
        ("flush_before_release", {"owes_io[1,0,2]": True}, "fault owes the IOMMUs a flush of gfn 2"),
        ("flush_before_release", {"owes_io_huge[0,0,1]": True}, "notifier owes the IOMMUs a flush of gfn 2-3"),
        ("flush_before_release", {"owes_cpu_pt[0]": True}, "notifier owes the vCPUs a flush of a table page"),
        ("reject_noncoherent_dma", {"coherent[0]": False}, "device 0, whose DMA is non-coherent, is attached"),
        ("root_liveness", {"root_exported[0]": True, "root_ref_export[0]": False}, "without the export's reference"),
        ("root_liveness", {"dead_install": True, "root_exported[0]": True, "root_ref_export[0]": True}, "installed in an invalid root"),
    ],
    ids=str,
)
def test_a_false_instance_is_found_and_named(prop: str, changes: dict[str, Value], said: str) -> None:
    """The reader's first question is: which one?"""
    found = false_instances(prop, "", after(changes))

    assert any(said in i.sentence for i in found), [i.sentence for i in found]
    assert all(i.cells for i in found)
