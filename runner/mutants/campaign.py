"""Many mutants: which there are, a sample of them, each judged in a process that is not lost with it; and what came of all."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from ...checker.processes import Child, Died, Failed, Failure, Said, Say, fair_share, listen, reason_of
from ...core.errors import InputError
from ...core.stored.files import MOST, read_given
from ...kernelc.text.mutations import OPERATORS, Mutation, mutations
from ...model.system import machine_digest
from ..documents import SCHEMA
from ..inputs.sources import Files
from ..names import choose
from .asked import FOUND, MISSED, WAITED, Asking, Fate, Judged, Unmutated

GRACE = 60.0
"""So many seconds a process has beyond those that are waited for its mutant; then it is given up."""
AT_A_TIME = 50
"""So many mutants a process judges one after the other, since they share most of what is built; then another one begins anew."""


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which mutants are asked about.

    Args:
        design: whose kernel C; empty for the shipped one.
        functions, operators: those of these; without any, of all.
        sample: so many of them, drawn by `seed`; None for all.
    """

    design: str = ""
    functions: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0


class Mutants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of mutants: the document that `tdpcheck mutate --json` writes, and goes on with.

    Args:
        code: a digest of the kernel C and the machine, to which names and fates belong.
        of: how many mutants there are of what is wanted, before a sample is drawn.
        judged: those that were judged, in the order in which they are asked.
    """

    schema: int
    code: str
    wanted: Wanted
    of: int
    chosen: int
    interrupted: bool
    judged: tuple[Judged, ...]

    def count(self, *fates: Fate) -> int:
        """How many came to one of these."""
        return sum(1 for each in self.judged if each.fate in fates)

    @property
    def counted(self) -> int:
        """How many of those judged could have been found: not those that are no faults, do not compile, or run nowhere."""
        return self.count(*FOUND, *MISSED)

    @property
    def score(self) -> float | None:
        """The share of those found among those that could have been; None if there is none."""
        return self.count(*FOUND) / self.counted if self.counted else None

    @property
    def survivors(self) -> tuple[Judged, ...]:
        """Those in which nothing was found, though it could have been."""
        return tuple(each for each in self.judged if each.fate in MISSED)

    def by(self, key: Callable[[Judged], str]) -> dict[str, Counter[Fate]]:
        """How many came to what, by something of theirs."""
        found: dict[str, Counter[Fate]] = {}
        for each in self.judged:
            found.setdefault(key(each), Counter())[each.fate] += 1
        return found


def all_mutants(files: Files, functions: Sequence[str] = (), operators: Sequence[str] = (), folder: str = "") -> tuple[Mutation, ...]:
    """Every mutant of some functions by some operators; without any, of all.

    Args:
        folder: of the design whose files they are of; empty for the shipped kernel C.

    Raises:
        InputError: a name that is none, or nothing is left.
    """
    choose(operators, tuple(OPERATORS), "operator")
    own = [name for name in files if name.rpartition("/")[0] == folder]
    found = [mutation for name in sorted(own) for mutation in mutations(files[name], name)]
    choose(functions, sorted({mutation.function for mutation in found}), "function with mutants")
    wanted = tuple(m for m in found if (not functions or m.function in functions) and (not operators or m.operator in operators))
    if not wanted:
        raise InputError(
            "there is no such mutant: these operators find nothing in these functions; leave one of --operator, --function out"
        )
    return wanted


def drawn(found: Sequence[Mutation], count: int | None, seed: int) -> tuple[Mutation, ...]:
    """So many of them, drawn by `seed`: a larger sample begins with a smaller one. All of them in their order without a count."""
    if count is None:
        return tuple(found)
    order = list(range(len(found)))
    random.Random(seed).shuffle(order)
    return tuple(found[number] for number in order[:count])


def digest(files: Files) -> str:
    """What names and fates of mutants belong to."""
    whole = hashlib.sha256(machine_digest().encode())
    for name in sorted(files):
        whole.update(f"{name}\0{files[name]}\0".encode())
    return whole.hexdigest()[:12]


def stored(path: Path) -> Mutants:
    """What an earlier campaign left in a file.

    Raises:
        InputError: it cannot be read, or is no such document.
    """
    wanted = "a document that `tdpcheck mutate --json` wrote"
    content = read_given(str(path), MOST["change"], f"give {wanted}", "document of mutants")
    try:
        document = msgspec.json.decode(content, type=Mutants)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this is no document of mutants ({error}); give {wanted}") from error
    if document.schema != SCHEMA:
        raise InputError(f"{path}: its schema is {document.schema}, and {SCHEMA} is read here; give {wanted} of this version")
    names = Counter(each.name for each in document.judged)
    twice = next((name for name, times in names.items() if times > 1), None)
    if twice is not None:
        raise InputError(f"{path}: {twice!r} stands there twice; give {wanted}")
    return document


def taken_up(document: Mutants, where: str, code: str, wanted: Wanted, chosen: Sequence[Mutation]) -> dict[str, Judged]:
    """What need not be asked again, by name: all but what was open, and what was declared to be no fault then.

    Raises:
        InputError: it is about other code, or other mutants.
    """
    if document.code != code:
        raise InputError(
            f"{where}: it is about another kernel C or machine ({document.code}, here it is {code}); name another file without --resume"
        )
    others = msgspec.structs.replace(wanted, sample=document.wanted.sample)
    if document.wanted != others:
        told = ", ".join(
            f"{name} {getattr(document.wanted, name)!r}"
            for name in ("design", "functions", "operators", "seed")
            if getattr(document.wanted, name) != getattr(wanted, name)
        )
        raise InputError(f"{where}: it was begun with {told}; go on with the same, or name another file")
    known = {mutation.name for mutation in chosen}
    strange = next((each.name for each in document.judged if each.name not in known), None)
    if strange is not None:
        raise InputError(
            f"{where}: it has judged {strange!r}, which is not among the {len(known)} that are asked for; give a larger --sample"
        )
    return {judged.name: judged for judged in document.judged if judged.fate not in ("open", "equivalent")}


def campaign(
    asking: Asking,
    chosen: Sequence[Mutation],
    *,
    jobs: int = 1,
    memory: int | None = None,
    known: Iterable[Judged] = (),
    hear: Callable[[Judged], None] = lambda judged: None,
) -> tuple[tuple[Judged, ...], bool]:
    """Judge mutants, so many at once; those that are known are taken as they are.

    Args:
        memory: megabytes that each process may take beyond what it begins with; None for a share of the machine's.
        hear: is told of each as it is judged.

    Returns:
        Those judged, in the order of `chosen`; and whether the user wanted no more (Control-C): then what is known is told.
    """
    found = {judged.name: judged for judged in known}
    waiting = [mutation for mutation in chosen if mutation.name not in found]
    jobs = max(1, min(jobs, len(waiting)))
    memory = fair_share(jobs) if memory is None else memory
    limit = WAITED * asking.timeout + GRACE
    lanes: dict[Child, list[Mutation]] = {}

    def begin(lane: list[Mutation]) -> None:
        if lane:
            lanes[Child(_judging(asking, lane[:AT_A_TIME]), memory=memory, limit=limit)] = lane

    def told(lane: list[Mutation], judged: Judged) -> None:
        found[lane.pop(0).name] = judged
        hear(judged)

    interrupted = False
    try:
        for number in range(jobs):
            begin(waiting[number::jobs])
        while lanes:
            for child, news in listen(lanes):
                match news:
                    case Said(value=Unmutated() as learned):
                        asking.known[learned.scenario] = learned.names
                    case Said(value=Judged() as judged):
                        child.end_within(limit)
                        told(lanes[child], judged)
                    case Failed(kind=Failure.INTERRUPTED):
                        raise KeyboardInterrupt
                    case Failed() | Died():
                        lane = lanes.pop(child)
                        told(lane, _lost(asking, lane[0], news))
                        begin(lane)
                    case _:
                        begin(lanes.pop(child))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for child in lanes:
            child.kill()
    return tuple(found[mutation.name] for mutation in chosen if mutation.name in found), interrupted


def _judging(asking: Asking, lane: Sequence[Mutation]) -> Callable[[Say], None]:
    def judging(say: Say) -> None:
        for mutation in lane:
            say(asking.judged(mutation, say))

    return judging


def unasked(asking: Asking, mutation: Mutation, fate: Fate, reason: str) -> Judged:
    """A mutant that nobody asked, or lived to judge."""
    diff = mutation.diff(asking.files[mutation.file])
    return Judged(
        mutation.operator, mutation.file, mutation.function, mutation.line, mutation.what, mutation.near, fate, reason=reason, diff=diff
    )


def _lost(asking: Asking, mutation: Mutation, news: Failed | Died) -> Judged:
    """Its process ended without an answer, which is none."""
    return unasked(asking, mutation, "open", str(reason_of(news)))


__all__ = ["Mutants", "Wanted", "all_mutants", "campaign", "digest", "drawn", "stored", "taken_up", "unasked"]
