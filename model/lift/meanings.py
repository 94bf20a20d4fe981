"""What the names mean that lifted code uses without defining them: the machine's meanings, said in words.

The state, the ghosts and the bookkeeping of every SPTE write are those of `model.intrinsics`; here are only the conversions,
the kernel's names for the same things, and the reasons why some calls mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import z3

from ...core.errors import InputError
from ...core.sorts import StateVar
from ...core.system import Update, bool_var, set_at
from ...kernelc.errors import Location
from ...kernelc.lowering.convert import Spot, coerce
from ...kernelc.lowering.library import (
    BOOLEAN,
    VOID,
    Check,
    CType,
    Effect,
    FunctionName,
    Intrinsic,
    Library,
    Meaning,
    Ref,
    Value,
    boolean,
    record,
    scalar,
)
from ..intrinsics import LIBRARY, memory, roots, sync, types, walks
from ..machine import cpu, host, tables
from ..machine.sorts import BLOCK, FRAME, PT, ROOT, part, region_of
from ..machine.tables import FROZEN, LEAF, NONE, TABLE, pte_frame, pte_kind, pte_writable
from .lists import FIRST_ROOT, NO_ROOT, ROOT_AFTER
from .types import HPA, INT, KVM, KVM_ARCH, LINK, MMU, PAGES_LIST, PAGES_LOCK, RCU_HEAD, REFCOUNT, ROLE, SLOT_T, SLOTS_T, Types
from .versions import Kernel
from .words import INT_BITS, PAGE_SHIFT, ROOT_LEVEL, Words

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
FREE_CALLBACK = "tdp_mmu_free_sp_rcu_callback"

ERASED: Mapping[str, str] = {
    "tdp_mmu_init_child_sp": "sp->role, sp->gfn and sp->ptep: known from where the page is linked",
    "kvm_tdp_mmu_put_root": "the roots of a lifted scenario stay: no reference is counted",
    "tdp_account_mmu_page": "statistics: nothing reads them here",
    "tdp_unaccount_mmu_page": "statistics: nothing reads them here",
    "kvm_update_page_stats": "statistics: nothing reads them here",
    "account_huge_nx_page": "the list of the NX recovery thread, which does not run here",
    "unaccount_huge_nx_page": "the list of the NX recovery thread, which does not run here",
    "disallowed_hugepage_adjust": "the NX huge page mitigation is off",
    "list_add": "the list of pages in use: nobody walks it here",
    "spin_lock": "tdp_mmu_pages_lock protects lists alone",
    "spin_unlock": "tdp_mmu_pages_lock protects lists alone",
    "check_spte_writable_invariants": "the writable bits of an SPTE are not modelled one by one",
    "kvm_set_pfn_dirty": "dirty bits are not modelled",
    "kvm_set_pfn_accessed": "accessed bits are not modelled",
    "mark_page_dirty_in_slot": "the dirty log is not modelled",
    "pr_err": "a message",
    "cpu_relax": "a hint to the processor",
    "cond_resched": "no lock is held there: the scheduler may run anybody anyway",
}
"""Calls that do nothing here, each with the reason. So do all tracepoints that the lifted files name."""
TRACE = "a tracepoint: it changes nothing"

_SAME = frozenset(
    """
    write_lock write_unlock read_lock read_unlock lockdep_assert_held_write lockdep_assert_held_read lockdep_assert_held
    rcu_read_lock rcu_read_unlock WARN_ON WARN_ON_ONCE BUG_ON KVM_BUG_ON need_resched assume
    is_shadow_present_pte is_large_pte is_removed_spte is_writable_pte
    kvm_make_all_cpus_request qi_submit_iotlb_domain qi_wait kvm_tdp_fd_has_importer vcpu_mmu_root
    lock_exported_tdplist_lock unlock_exported_tdplist_lock lock_slots_lock unlock_slots_lock
    mmu_invalidate_seq_read mmu_invalidate_in_progress_sub kvm_slot_dirty_track_enabled note_fast_zap
    """.split()
)
"""Intrinsics of the shipped kernel C that mean the same to lifted code, types included."""
_IN_WORDS = ("mmu_invalidate_retry", "mmu_invalidate_in_progress_add", "host_unmap_and_free", "qi_submit_iotlb")
"""Intrinsics of the shipped kernel C that take guest frames; lifted code gives their numbers."""


ARGUMENTS: Mapping[str, CType] = {"kvm": KVM, "spte": types.SPTE, "level": INT}
"""The types of arguments that only the tree's way of calling something has, by the names that they have in `versions`."""


root_scheduled = bool_var("root_scheduled_to_zap", ROOT, doc="tdp_mmu_scheduled_root_to_zap: the root is invalid and not zapped yet")
SCHEDULED = "tdp_mmu_scheduled_root_to_zap"
OWN: Mapping[str, tuple[StateVar, Update]] = {
    SCHEDULED: (root_scheduled, Update(root_scheduled, root_scheduled.variables(), FALSE)),
}
"""State that a field of the tree's brings with it: only scenarios whose threads use the field have it."""

PLAIN = Words(1, 2, 1, 3, 2, 1)
"""Some geometry: of which names mean something it says nothing."""


def meant_calls(kernel: Kernel | None = None) -> dict[str, str]:
    """The calls that mean something without their bodies, or mean nothing, each with what is known of that."""
    library = library_for(PLAIN, kernel)
    found = {name: f"it has a meaning of its own here ({call.doc or 'an intrinsic'})" for name, call in library.intrinsics.items()}
    found |= {name: f"it does nothing here: {why}" for name, why in library.erased.items()}
    return found | dict.fromkeys(library.identities, "it has a meaning of its own here")


def library_for(words: Words, kernel: Kernel | None = None) -> Library:
    """The library at one geometry, with the names that a kernel has for what is in it."""
    made = _Meanings(words).library()
    return made if kernel is None else _named(made, kernel)


def _named(library: Library, kernel: Kernel) -> Library:
    """The same meanings under the names, and with the arguments, that they have in one kernel."""
    calls = dict(_called(library, theirs, ours) for theirs, ours in kernel.calls.items())
    fields, stores = dict(library.fields), dict(library.stores)
    for theirs, ours in kernel.fields.items():
        base, _, name = theirs.rpartition(".")
        for known in (fields, stores):
            if (base, ours) in known:
                known[base, name] = known[base, ours]
    return replace(
        library,
        intrinsics={**library.intrinsics, **calls},
        constants={**library.constants, **{theirs: library.constants[ours] for theirs, ours in kernel.constants.items()}},
        fields=fields,
        stores=stores,
        erased={name: why for name, why in {**library.erased, **kernel.erased}.items() if name not in calls},
    )


def _called(library: Library, theirs: str, ours: str) -> tuple[str, Intrinsic]:
    """One call under the name and with the arguments that the tree has for it; see `Difference.calls`."""
    name, given = _call(theirs)
    if ours in ("true", "false"):
        params = tuple(ARGUMENTS[a] for a in given)
        return name, Intrinsic(
            name, params, BOOLEAN, lambda t, *_: boolean(z3.BoolVal(ours == "true")), "local", doc="always the same here"
        )
    known, wanted = _call(ours)
    base = library.intrinsics.get(known) or LIBRARY.intrinsics[known]
    constants = {
        number: coerce(library.constants[a] if a in library.constants else boolean(z3.BoolVal(a == "true")), base.params[number], _NOWHERE)
        for number, a in enumerate(wanted)
        if a not in given
    }

    def arguments(values: Sequence[Value]) -> list[Value]:
        return [constants[number] if number in constants else values[given.index(a)] for number, a in enumerate(wanted)]

    when = base.when
    params = tuple(base.params[wanted.index(a)] if a in wanted else ARGUMENTS[a] for a in given)
    return name, replace(
        base,
        name=base.name if params == base.params else name,
        params=params,
        meaning=lambda t, *values: base.meaning(t, *arguments(values)),
        when=None if when is None else lambda t, *values: when(t, *arguments(values)),
    )


_NOWHERE = Spot(Location("<model/lift/versions.py>", 1), "a constant argument")


def _call(text: str) -> tuple[str, list[str]]:
    """The name of a call, and its arguments as they are written."""
    name, _, rest = text.partition("(")
    return name, [a.strip() for a in rest.removesuffix(")").split(",") if a.strip()]


class _Meanings:
    def __init__(self, words: Words) -> None:
        self.words = words
        self.types = Types(words)

    def library(self) -> Library:
        known = LIBRARY.intrinsics
        intrinsics = (
            *(known[name] for name in sorted(_SAME)),
            *(self._in_words(known[name]) for name in _IN_WORDS),
            *self._constants(),
            *self._arithmetic(),
            *self._sptes(),
            *self._memory(),
            *self._pages(),
            *self._host(),
        )
        page = "struct kvm_mmu_page *"
        return Library(
            types=self.types.table,
            constants=self.types.constants,
            intrinsics={intrinsic.name: intrinsic for intrinsic in intrinsics},
            fields={**roots.FIELDS, **self._fields()},
            stores={**LIBRARY.stores, (page, "lpage_disallowed"): self._disallow(), (page, SCHEDULED): self._schedule()},
            handles={
                ("struct kvm *", "mmu_lock"): sync.MMU_LOCK,
                ("struct kvm *", "arch"): KVM_ARCH,
                ("struct kvm_arch", "tdp_mmu_pages_lock"): PAGES_LOCK,
                ("struct kvm_arch", "tdp_mmu_pages"): PAGES_LIST,
                ("struct kvm_vcpu *", "kvm"): KVM,
                **{("struct kvm *", lock.name): lock for lock in sync.MUTEXES},
            },
            embedded={
                (page, "rcu_head"): Intrinsic("&rcu_head", (types.PAGE,), RCU_HEAD, lambda t, sp: record(RCU_HEAD, pt=sp["pt"]), "local"),
                (page, "tdp_mmu_root_count"): Intrinsic(
                    "&tdp_mmu_root_count", (types.PAGE,), REFCOUNT, lambda t, sp: record(REFCOUNT, vm=FALSE, root=sp["root"]), "local"
                ),
                ("struct kvm *", "users_count"): Intrinsic(
                    "&users_count", (KVM,), REFCOUNT, lambda t, kvm: record(REFCOUNT, vm=TRUE, root=ROOT.element(0)), "local"
                ),
                (page, "link"): Intrinsic("&link", (types.PAGE,), LINK, lambda t, sp: record(LINK, pt=sp["pt"]), "local"),
            },
            loads={"tdp_ptep_t": self._load()},
            saves={"tdp_ptep_t": self._save(), "spt": self._fill()},
            held=sync.HELD,
            identities=frozenset({"likely", "unlikely", "READ_ONCE", "rcu_dereference"}),
            erased=ERASED,
        )

    # Words and elements

    def _in_words(self, intrinsic: Intrinsic) -> Intrinsic:
        """The same intrinsic, of the numbers of guest frames."""
        where = [p == types.GFN_T for p in intrinsic.params]

        def meaning(t: z3.ExprRef, *values: Value) -> object:
            given = [scalar(types.GFN_T, self.words.gfn(v.term)) if is_gfn else v for v, is_gfn in zip(values, where, strict=True)]
            return intrinsic.meaning(t, *given)

        params = tuple(self.types.gfn if is_gfn else p for p, is_gfn in zip(intrinsic.params, where, strict=True))
        return replace(intrinsic, params=params, meaning=meaning)  # type: ignore[arg-type]

    def _arithmetic(self) -> tuple[Intrinsic, ...]:
        words, long, gfn = self.words, self.types.long, self.types.gfn
        return (
            Intrinsic(
                "KVM_PAGES_PER_HPAGE",
                (INT,),
                long,
                lambda t, level: scalar(long, words.pages_per_hpage(level.term)),
                "local",
                doc="asm/kvm_host.h",
            ),
            Intrinsic(
                "SPTE_INDEX", (long, INT), INT, lambda t, a, level: scalar(INT, words.spte_index(a.term, level.term)), "local", doc="spte.h"
            ),
            Intrinsic(
                "min",
                (gfn, gfn),
                gfn,
                lambda t, a, b: scalar(gfn, z3.If(z3.ULT(a.term, b.term), a.term, b.term)),
                "local",
                doc="linux/minmax.h",
            ),
            Intrinsic(
                "gfn_of",
                (types.GFN_T,),
                gfn,
                lambda t, a: scalar(gfn, words.gfn_number(a.term)),
                "local",
                doc="the number of a guest frame that a scenario chose",
            ),
            Intrinsic(
                "kvm_mmu_max_gfn",
                (),
                gfn,
                lambda t: scalar(gfn, z3.BitVecVal(words.gfns - 1, words.long_bits)),
                "local",
                doc="mmu.h: the last gfn",
            ),
        )

    def _constants(self) -> tuple[Intrinsic, ...]:
        spte, page = types.SPTE, types.PAGE

        def fixed(name: str, params: tuple[object, ...], value: bool, doc: str) -> Intrinsic:
            return Intrinsic(name, params, BOOLEAN, lambda t, *_: boolean(z3.BoolVal(value)), "local", doc=doc)  # type: ignore[arg-type]

        bug = Effect(checks=(Check("BUG", FALSE),))
        return (
            fixed("is_mmio_spte", (spte,), False, "there are no MMIO SPTEs here: every gfn lies in a memslot"),
            fixed("is_accessed_spte", (spte,), False, "accessed bits are not modelled"),
            fixed("is_dirty_spte", (spte,), False, "dirty bits are not modelled"),
            fixed("spte_has_volatile_bits", (spte,), True, "always exchange: what a plain store would do differently is not modelled"),
            fixed("kvm_ad_enabled", (), True, "the CPU sets accessed and dirty bits"),
            fixed("rwlock_needbreak", (sync.MMU_LOCK,), False, "contention is one of the two reasons behind need_resched(), which is open"),
            Intrinsic("kvm_mmu_page_as_id", (page,), INT, lambda t, sp: self._int(0), "local", doc="there is one address space"),
            Intrinsic("BUG", (), VOID, lambda t: bug, "local", reads=("own",), doc="an assertion that is false", returns=False),
            Intrinsic(
                "gfn_to_memslot", (KVM, self.types.gfn), SLOT_T, lambda t, kvm, gfn: _handle(SLOT_T), "local", doc="there is one memslot"
            ),
            Intrinsic("__kvm_memslots", (KVM, INT), SLOTS_T, lambda t, kvm, as_id: _handle(SLOTS_T), "local", doc="there is one memslot"),
            Intrinsic(
                "__gfn_to_memslot",
                (SLOTS_T, self.types.gfn),
                SLOT_T,
                lambda t, slots, gfn: _handle(SLOT_T),
                "local",
                doc="there is one memslot",
            ),
        )

    def _int(self, number: int) -> Value:
        return scalar(INT, z3.BitVecVal(number, INT_BITS))

    # SPTEs

    def _pfn_of(self, spte: Value) -> z3.ExprRef:
        """spte_to_pfn(): a huge leaf gives the first frame of its huge page, a non-leaf entry its table page."""
        words, zero = self.words, z3.BitVecVal(0, self.words.long_bits)
        # Of a leaf, the frame or the huge page is the first one, whose number is 0: so the sum is the one that counts.
        leaf = words.frame_number(spte["frame"]) + words.block_number(spte["block"])
        return z3.If(spte["kind"] == LEAF, leaf, z3.If(spte["kind"] == TABLE, words.table_number(spte["pt"]), zero))

    def _sptes(self) -> tuple[Intrinsic, ...]:
        spte, pfn, long, words, kinds = types.SPTE, self.types.pfn, self.types.long, self.words, self.types
        vcpu, page, gfn = types.VCPU_T, types.PAGE, self.types.gfn

        def leaf(frame: z3.ExprRef, block: z3.ExprRef, writable: z3.BoolRef) -> Value:
            return record(spte, kind=LEAF, writable=writable, frame=frame, block=block, pt=PT.element(0))

        def nonleaf(t: z3.ExprRef, memory_: Value, ad_disabled: Value) -> Value:
            return record(spte, kind=TABLE, writable=FALSE, frame=FRAME.element(0), block=BLOCK.element(0), pt=memory_["pt"])

        def make(t: z3.ExprRef, _v: Value, sp: Value, _s: Value, _a: Value, _g: Value, at: Value, *rest: Value) -> Effect:
            huge = leaf(FRAME.element(0), words.block(at.term), TRUE)
            small = leaf(words.frame(at.term), BLOCK.element(0), TRUE)
            return Effect(value=boolean(FALSE), refs=(types.choose(sp["is_root"], huge, small),))

        def split(t: z3.ExprRef, kvm: Value, huge: Value, role: Value, index: Value) -> Effect:
            slot = words.slot(z3.Extract(words.index_bits - 1, 0, index.term))
            is_leaf = huge["kind"] == LEAF
            small = leaf(part(huge["block"], slot), BLOCK.element(0), huge["writable"])
            return Effect(
                value=record(spte, **{**small.parts, "kind": z3.If(is_leaf, LEAF, NONE)}),
                checks=(Check("WARN_ON_ONCE: only a present huge leaf is split", is_leaf),),
            )

        def child(t: z3.ExprRef, address: Value) -> Value:
            pt = words.table(z3.LShR(address.term, PAGE_SHIFT))
            index = z3.BitVecVal(0, words.index_bits)
            return record(kinds.ptep, null=FALSE, lower=TRUE, root=ROOT.element(0), pt=pt, index=index)

        make_params = (vcpu, page, SLOT_T, INT, gfn, pfn, spte, BOOLEAN, BOOLEAN, BOOLEAN, Ref(spte))
        return (
            Intrinsic(
                "is_last_spte",
                (spte, INT),
                BOOLEAN,
                lambda t, s, level: boolean(s["kind"] == LEAF),
                "local",
                doc="spte.h: level 4K, or the PS bit",
            ),
            Intrinsic("spte_to_pfn", (spte,), pfn, lambda t, s: scalar(pfn, self._pfn_of(s)), "local", doc="spte.h"),
            Intrinsic("__va", (long,), kinds.ptep, child, "local", doc="asm/page.h; only ever of a table page"),
            Intrinsic("make_nonleaf_spte", (kinds.spt, BOOLEAN), spte, nonleaf, "local", doc="spte.c"),
            Intrinsic(
                "make_spte", make_params, BOOLEAN, make, "local", reads=("const",), doc="spte.c: a writable leaf at the level of its table"
            ),
            Intrinsic("make_huge_page_split_spte", (KVM, spte, ROLE, INT), spte, split, "local", doc="spte.c"),
        )

    def _disallow(self) -> Intrinsic:
        def meaning(t: z3.ExprRef, sp: Value, new: Value) -> Effect:
            return Effect(checks=(Check("the NX huge page mitigation is off", z3.Not(new.term)),))

        return Intrinsic("lpage_disallowed=", (types.PAGE, BOOLEAN), VOID, meaning, "local", doc="the NX huge page mitigation is off")

    def _schedule(self) -> Intrinsic:
        def meaning(t: z3.ExprRef, sp: Value, new: Value) -> Effect:
            return Effect(updates=(set_at(root_scheduled, (sp["root"],), new.term),))

        return Intrinsic(f"{SCHEDULED}=", (types.PAGE, BOOLEAN), VOID, meaning, writes=("roots",), doc="the root is to be zapped, or is")

    # Memory

    def _place(self, pointer: Value) -> Value:
        """A lifted pointer as the machine's: table and slot, or root and region."""
        index = pointer["index"]
        return record(
            types.PTEP,
            lower=pointer["lower"],
            root=pointer["root"],
            region=self.words.region(index),
            pt=pointer["pt"],
            slot=self.words.slot(index),
        )

    def _exists(self, pointer: Value) -> z3.BoolRef:
        """Whether the machine has the entry: a root has as many entries as any table, and those behind the last region stay empty."""
        if self.words.regions >= 2**self.words.index_bits:
            return TRUE
        return z3.Or(pointer["lower"], z3.ULT(pointer["index"], self.words.regions))

    def _read(self, pointer: Value) -> Value:
        empty = Value(types.SPTE, dict(types.SPTE.literals[0]))
        found = memory.read(self._place(pointer))
        # A level-1 entry points to no table: said here, so that recursion into one is seen to be impossible.
        kind = z3.If(z3.And(pointer["lower"], found["kind"] == TABLE), NONE, found["kind"])
        found = Value(types.SPTE, {**found.parts, "kind": kind})
        exists = self._exists(pointer)
        return found if z3.is_true(exists) else types.choose(exists, found, empty)

    def _write(self, t: z3.ExprRef, pointer: Value, new: Value) -> Effect:
        inside = Check("a write behind the last region", self._exists(pointer))
        level = Check("a level-1 entry points to a table", z3.Not(z3.And(pointer["lower"], new["kind"] == TABLE)))
        place = self._place(pointer)
        checks = (level,) if z3.is_true(inside.holds) else (inside, level)
        return Effect(updates=memory.write(t, place, new), checks=checks, needs=memory.stores(place, new))

    def _load(self) -> Intrinsic:
        def meaning(t: z3.ExprRef, pointer: Value) -> tuple[Effect, ...]:
            return _by_kind(pointer, Effect(value=self._read(pointer), needs=memory.uses(self._place(pointer))))

        return Intrinsic("READ_ONCE", (self.types.ptep,), types.SPTE, meaning, reads=("spte",), doc="an entry, read once")

    def _save(self) -> Intrinsic:
        params = (self.types.ptep, types.SPTE)
        return Intrinsic("WRITE_ONCE", params, VOID, self._write, reads=("spte",), writes=("spte", "pool"), doc="an entry, written at once")

    def _fill(self) -> Intrinsic:
        """`sp->spt[i] = x`: nobody can reach the page yet."""

        def meaning(t: z3.ExprRef, at: Value, new: Value) -> Effect:
            slot = self.words.slot(at["index"])
            stores = ((pte_kind, new["kind"]), (pte_writable, new["writable"]), (pte_frame, new["frame"]))
            updates = tuple(set_at(var, (at["pt"], slot), value) for var, value in stores)
            return Effect(
                updates=updates,
                checks=(Check("sp->spt[] of a page that is linked", tables.pt_state(at["pt"]) == tables.PT_PRIVATE),),
                needs=memory.fills(at["pt"]),
            )

        return Intrinsic(
            "sp->spt[]=",
            (self.types.spt, types.SPTE),
            VOID,
            meaning,
            "right",
            writes=("spte",),
            doc="an entry of a page that is not linked",
            when=lambda t, at, new: memory.private(at["pt"]),
        )

    def _memory(self) -> tuple[Intrinsic, ...]:
        ptep, spte = self.types.ptep, types.SPTE

        def xchg(t: z3.ExprRef, pointer: Value, new: Value) -> tuple[Effect, ...]:
            return _by_kind(pointer, replace(self._write(t, pointer, new), value=self._read(pointer)))

        def cmpxchg(t: z3.ExprRef, pointer: Value, old: Value, new: Value) -> tuple[Effect, ...]:
            current = self._read(pointer)
            assert spte.equal is not None
            same = spte.equal(current, old)
            done = replace(self._write(t, pointer, new), value=boolean(TRUE), guard=same, refs=(None,))
            return (done, Effect(value=boolean(FALSE), guard=z3.Not(same), refs=(current,), needs=memory.uses(self._place(pointer))))

        return (
            Intrinsic("xchg", (ptep, spte), spte, xchg, reads=("spte",), writes=("spte", "pool"), doc="exchanges an entry"),
            Intrinsic(
                "try_cmpxchg64",
                (ptep, Ref(spte), spte),
                BOOLEAN,
                cmpxchg,
                reads=("spte",),
                writes=("spte", "pool"),
                doc="compares and exchanges an entry",
            ),
        )

    # Pages and roots

    def _pages(self) -> tuple[Intrinsic, ...]:
        page, ptep, vcpu = types.PAGE, self.types.ptep, types.VCPU_T
        base = LIBRARY.intrinsics

        def allocate(t: z3.ExprRef, *_: Value) -> Effect:
            return memory.allocate(t)[0]

        def allocate_for_split(t: z3.ExprRef, _: Value) -> tuple[Effect, ...]:
            return memory.allocate(t)

        def call_rcu(t: z3.ExprRef, head: Value, callback: Value) -> Effect:
            if callback.name != FREE_CALLBACK:
                raise InputError(f"call_rcu() with {callback.name}: only {FREE_CALLBACK}() has a meaning here")
            return _effect(base["call_rcu_free_sp"].meaning(t, types.table_page(head["pt"])))

        def list_del(t: z3.ExprRef, link: Value) -> Effect:
            return _effect(base["tdp_mmu_unlink_sp"].meaning(t, types.table_page(link["pt"])))

        def of_pointer(t: z3.ExprRef, p: Value) -> Value:
            return record(page, null=p["null"], is_root=z3.Not(p["lower"]), root=p["root"], pt=p["pt"])

        def of_hpa(t: z3.ExprRef, hpa: Value) -> Value:
            return types.root_page(hpa["root"])

        return (
            Intrinsic("sptep_to_sp", (ptep,), page, of_pointer, "local", doc="spte.h: the page that an entry lies in"),
            Intrinsic("to_shadow_page", (HPA,), page, of_hpa, "local", doc="spte.h; only ever of a root"),
            Intrinsic(
                "tdp_mmu_next_root",
                (KVM, page, BOOLEAN, BOOLEAN),
                page,
                self._next_root,
                reads=("roots",),
                doc="the list of roots does not change here",
                when=walks.roots_stay,
            ),
            Intrinsic(
                FIRST_ROOT,
                (KVM,),
                page,
                lambda t, kvm: self._listed(z3.BoolVal(True), ROOT.element(0)),
                reads=("roots",),
                doc="the first entry of kvm->arch.tdp_mmu_roots",
                when=walks.roots_stay,
            ),
            Intrinsic(
                ROOT_AFTER,
                (page,),
                page,
                lambda t, sp: self._listed(FALSE, sp["root"]),
                reads=("roots",),
                doc="the next entry of kvm->arch.tdp_mmu_roots",
                when=walks.roots_stay,
            ),
            Intrinsic(NO_ROOT, (page,), BOOLEAN, lambda t, sp: boolean(sp["null"]), "local", doc="the head of kvm->arch.tdp_mmu_roots"),
            Intrinsic(
                "refcount_read",
                (REFCOUNT,),
                INT,
                lambda t, count: scalar(
                    INT, z3.If(z3.Or(count["vm"], cpu.alive(count["root"])), *(z3.BitVecVal(n, INT_BITS) for n in (1, 0)))
                ),
                reads=("roots",),
                doc="whether somebody holds the VM, or a root",
                when=walks.roots_stay,
            ),
            Intrinsic(
                "tdp_mmu_alloc_sp",
                (vcpu,),
                page,
                allocate,
                "right",
                writes=("pool",),
                doc="from the vCPU's cache, which was filled before the lock was taken",
            ),
            Intrinsic("__tdp_mmu_alloc_sp_for_split", (INT,), page, allocate_for_split, "right", writes=("pool",), doc="may fail"),
            Intrinsic(
                "tdp_mmu_free_sp",
                (page,),
                VOID,
                base["tdp_mmu_free_sp"].meaning,
                "left",
                writes=("pool",),
                doc="of a page that was never linked",
                when=memory.mine,
            ),
            Intrinsic("list_del", (LINK,), VOID, list_del, "left", writes=("pool",), doc="takes a table page off the list of pages in use"),
            Intrinsic(
                "call_rcu", (RCU_HEAD, FunctionName()), VOID, call_rcu, writes=("pool",), doc="frees a table page after a grace period"
            ),
        )

    def _next_root(self, t: z3.ExprRef, kvm: Value, previous: Value, shared: Value, only_valid: Value) -> tuple[Effect, ...]:
        """The first root behind `previous` that somebody holds; one effect each, so that each loop turn knows its root."""
        return self._listed(previous["null"], previous["root"], lambda root: z3.Implies(only_valid.term, z3.Not(tables.root_invalid(root))))

    def _listed(
        self, first: z3.BoolRef, previous: z3.ExprRef, fits: Callable[[z3.ExprRef], z3.BoolRef] = lambda root: TRUE
    ) -> tuple[Effect, ...]:
        """The next root that somebody holds, behind `previous` or from the first one on."""
        effects, none_before = [], TRUE
        for number in range(self.words.roots):
            root = ROOT.element(number)
            behind = z3.Or(first, *(previous == ROOT.element(n) for n in range(number)))
            eligible = z3.And(behind, cpu.alive(root), fits(root))
            effects.append(Effect(value=types.root_page(root), guard=z3.And(none_before, eligible)))
            none_before = z3.And(none_before, z3.Not(eligible))
        end = {**types.root_page(ROOT.element(0)).parts, "null": TRUE}
        return (*effects, Effect(value=Value(types.PAGE, end), guard=none_before))

    def _fields(self) -> dict[tuple[str, str], Intrinsic]:
        words, gfn, long, kinds = self.words, self.types.gfn, self.types.long, self.types
        page, mmu, slot = "struct kvm_mmu_page *", "struct kvm_mmu *", "struct kvm_memory_slot *"

        def level(sp: Value) -> z3.ExprRef:
            return z3.If(sp["is_root"], z3.BitVecVal(ROOT_LEVEL, INT_BITS), z3.BitVecVal(1, INT_BITS))

        def first_gfn(t: z3.ExprRef, sp: Value) -> Value:
            of_table = words.region_number(tables.pt_region(sp["pt"])) << words.shift
            return scalar(gfn, z3.If(sp["is_root"], z3.BitVecVal(0, words.long_bits), of_table))

        def number(count: int) -> Meaning:
            return lambda t, base: scalar(long, z3.BitVecVal(count, words.long_bits))

        def root_hpa(t: z3.ExprRef, mmu: Value) -> Value:
            return record(HPA, root=cpu.vcpu_root(mmu["vcpu.vcpu"]))

        return {
            (page, "spt"): Intrinsic("spt", (types.PAGE,), kinds.spt, lambda t, sp: kinds.memory(sp), "local", doc="the page's own memory"),
            (page, "role"): Intrinsic("role", (types.PAGE,), ROLE, lambda t, sp: record(ROLE, level=level(sp)), "local"),
            (page, "role.level"): Intrinsic("role.level", (types.PAGE,), INT, lambda t, sp: scalar(INT, level(sp)), "local"),
            (page, "gfn"): Intrinsic("gfn", (types.PAGE,), gfn, first_gfn, reads=("pool",), doc="the first gfn that the page maps"),
            (page, SCHEDULED): Intrinsic(
                SCHEDULED, (types.PAGE,), BOOLEAN, lambda t, sp: boolean(root_scheduled(sp["root"])), reads=("roots",), doc="mmu_internal.h"
            ),
            ("struct kvm *", "created_vcpus"): Intrinsic(
                "created_vcpus", (KVM,), INT, lambda t, kvm: self._int(1), "local", doc="the VM has vCPUs"
            ),
            (page, "lpage_disallowed"): Intrinsic("lpage_disallowed", (types.PAGE,), BOOLEAN, lambda t, sp: boolean(FALSE), "local"),
            ("struct kvm_vcpu *", "arch.mmu"): Intrinsic(
                "arch.mmu", (types.VCPU_T,), MMU, _mmu_of, "local", doc="the vCPU's paging mode: direct"
            ),
            (mmu, "root.hpa"): Intrinsic(
                "root.hpa",
                (MMU,),
                HPA,
                root_hpa,
                reads=("roots",),
                doc="the root that the vCPU has loaded",
                when=lambda t, mmu: cpu.handles_fault(mmu["vcpu.vcpu"]),
            ),
            (slot, "base_gfn"): Intrinsic("base_gfn", (SLOT_T,), long, number(0), "local", doc="the memslot holds every gfn"),
            (slot, "npages"): Intrinsic("npages", (SLOT_T,), long, number(words.gfns), "local", doc="the memslot holds every gfn"),
            (slot, "as_id"): Intrinsic("as_id", (SLOT_T,), INT, lambda t, s: self._int(0), "local", doc="there is one address space"),
        }

    # The host

    def _host(self) -> tuple[Intrinsic, ...]:
        words, gfn, pfn = self.words, self.types.gfn, self.types.pfn
        resolve = LIBRARY.intrinsics["hva_to_pfn"]

        def to_pfn(t: z3.ExprRef, a: Value) -> tuple[Effect, ...]:
            effects = resolve.meaning(t, scalar(types.GFN_T, words.gfn(a.term)))
            assert isinstance(effects, tuple)
            return tuple(replace(e, value=scalar(pfn, words.frame_number(e.value.term))) for e in effects)

        def level(t: z3.ExprRef, kvm: Value, slot: Value, a: Value, most: Value) -> Value:
            huge = host.host_huge(region_of(words.gfn(a.term)))
            return scalar(INT, z3.If(huge, z3.BitVecVal(2, INT_BITS), z3.BitVecVal(1, INT_BITS)))

        return (
            replace(resolve, params=(gfn,), result=pfn, meaning=to_pfn),
            Intrinsic(
                "kvm_mmu_max_mapping_level", (KVM, SLOT_T, gfn, INT), INT, level, reads=("host",), doc="mmu.c: how large the host maps it"
            ),
        )


def _by_kind(pointer: Value, effect: Effect) -> tuple[Effect, ...]:
    """The effect once for each kind of entry that it may answer, so that what branches on the kind is decided."""
    value = effect.value
    assert value is not None
    guards = {kind: value["kind"] == kind for kind in (NONE, FROZEN, LEAF)}
    guards[TABLE] = z3.And(z3.Not(pointer["lower"]), value["kind"] == TABLE)
    return tuple(replace(effect, guard=guard, value=Value(value.type, {**value.parts, "kind": kind})) for kind, guard in guards.items())


def _handle(handle: object) -> Value:
    return Value(handle, name=handle.name)  # type: ignore[arg-type, attr-defined]


def _mmu_of(t: z3.ExprRef, vcpu: Value) -> Value:
    return record(MMU, vcpu__null=vcpu["null"], vcpu__vcpu=vcpu["vcpu"])


def _effect(answer: object) -> Effect:
    assert isinstance(answer, Effect)
    return answer


MEANT = frozenset(meant_calls())
"""The names that have a meaning in every kernel."""
