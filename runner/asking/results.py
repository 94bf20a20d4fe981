"""What a run says, as typed records: the JSON document is these and nothing else, and tables are made from them.

Which verdict makes `verify` end with which exit code is decided here; that of `prove` in `cli/prove.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from ...core.plain import PlainVerdict, PlainViolated
from ...core.verdict import HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, Violated
from ...counterexamples.document import absent
from ...kernelc.lowering.cfg import Op
from ...model.change import judged
from ...model.change.account import Accounted, Fate, unmodelled
from ...model.change.waivers import Waiver
from ...model.machine.sorts import DESC
from ...model.queue_depth import LOOPING, is_bounded
from ...model.scenario import Expected, Scenario
from ...model.system import Model, designs
from ...model.view.naming import listed
from ..exit_codes import ExitCode, worst
from .coverage import Coverage
from .proofs import short_hash
from .question import Answer, Subject
from .traces import Deadlock, Livelock, TraceStep, deadlock, livelock, trace_steps

Word = Literal["proved", "violated", "holds_up_to", "unknown", "vacuous", "waived"]
Held = Literal["proved", "holds_up_to"]
Label = Literal["introduced", "pre-existing", "fixed"]
LONGEST_DIFF = 1 << 18
SCHEMA = 2
"""The form of run.json and of the museum's document. 2: `kind` of an answer that is none, `twin` of the museum."""


class RoleSteps(msgspec.Struct, frozen=True):
    """Which source lines of a thread some run executed, and which none did; `file:line: text`."""

    reached: tuple[str, ...]
    never: tuple[str, ...]


class ChangedLine(msgspec.Struct, frozen=True):
    """What became of one changed line; `near` is itself in the changed file, or of a removed one the line that is left beside it."""

    file: str
    line: int
    kind: Literal["added", "removed"]
    text: str
    fate: Fate
    why: str
    near: int = 0


class Posted(msgspec.Struct, frozen=True):
    """The mail that a patch came in: what its headers say, '' where one is missing; `commit` stands above them where git wrote the mail."""

    subject: str
    sender: str
    date: str
    message_id: str
    commit: str


class Unjudged(msgspec.Struct, frozen=True):
    """A condition of a change that only ever turned out one way, or a statement that it left without a path."""

    file: str
    line: int
    text: str
    why: str


class Change(msgspec.Struct, frozen=True):
    """One change that was checked.

    Args:
        modelled: whether the model contains all of it.
        refused: why nothing could be asked of it; empty if it is understood.
        unjudged: what of it no run has judged, though each line may have been reached.
        posted: the mail that it came in; None of a plain diff.
        diff: the patch as a unified diff; '' of an overlay, and of a patch that is longer than `LONGEST_DIFF` characters.
    """

    name: str
    subject: str
    modelled: bool
    lines: tuple[ChangedLine, ...]
    notes: tuple[str, ...] = ()
    refused: str = ""
    unjudged: tuple[Unjudged, ...] = ()
    posted: Posted | None = None
    diff: str = ""


class Before(msgspec.Struct, frozen=True):
    """The verdict without the change."""

    verdict: Word
    depth: int | None


class Waived(msgspec.Struct, frozen=True):
    """A statement that is its author's word, and what it says: nobody checks that."""

    file: str
    line: int
    function: str
    text: str
    what: str

    @property
    def place(self) -> str:
        """Where it stands, and its text."""
        return f"{self.file}:{self.line}: {self.text}"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question.

    Args:
        verdict: `waived` where it holds if those are right who wrote `waivers`; `held` is what it would be without them.
        depth: of a violation its steps; else how deep nothing was found.
        reason: why there is no answer, for people.
        kind: the same for code; there is one if, and only if, there is no answer.
        asked: the depth asked for.
        label: with a change, what it has to do with a violation.
        shortest: whether no shorter run violates the property; None if nobody established that.
        goals: the depth at which each declared goal was reached, None if it was not.
        steps: per role of thread, the lines that were reached and that never were.
        lifted, ours, intrinsics: functions from a kernel tree, functions of ours, and calls with a meaning of their own.
        states: how many states there are at this size, when every one was visited: then the answer holds at every depth.
        premise: the least depth known of a run to what the property speaks of; None if none is known.
        coverage: `exact` where every state was visited and each line has steps of its own: what was not executed cannot be.
        undeclared: statements (or whole functions) that no run executes and of which the scenario does not say so, by the names under
            which it can; known where every state was visited.
        overdeclared: what the scenario calls unreachable, and some run executes or no thread has.
        cached: the answer is of an earlier run, whose question was the same to the letter; a violation was replayed again.
        sizes: of a proof, for which sizes it is one: `every size`, or a geometry.
        certificate: a short hash of the certificate that two solvers accepted, where there is one.
        absent: what of a machine has no part in this model.
        alone: why this scenario was not asked without the change; empty if it was, or if there is none.
        waivers: the ghost statements of a change or of a design from outside on which the answer leans.
    """

    property: str
    scenario: str
    change: str | None
    kernel: str
    verdict: Word
    depth: int | None
    seconds: float
    trace: tuple[TraceStep, ...] | None
    reason: str | None
    lifted: tuple[str, ...]
    asked: int
    expected: Expected
    as_expected: bool
    label: Label | None
    before: Before | None
    shortest: bool | None
    engine: str
    goals: dict[str, int | None]
    steps: dict[str, RoleSteps]
    assumptions: tuple[str, ...]
    model: str
    ours: tuple[str, ...] = ()
    intrinsics: tuple[str, ...] = ()
    states: int | None = None
    premise: int | None = None
    deadlock: Deadlock = Deadlock(None)
    livelock: Livelock = Livelock(None)
    coverage: Literal["exact", "sampled"] = "sampled"
    undeclared: tuple[str, ...] = ()
    overdeclared: tuple[str, ...] = ()
    cached: bool = False
    sizes: str | None = None
    certificate: str | None = None
    lemmas: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    kind: ReasonKind | None = None
    alone: str = ""
    waivers: tuple[Waived, ...] = ()
    held: Held | None = None

    def __post_init__(self) -> None:
        if (self.verdict in ("unknown", "vacuous")) != (self.kind is not None):
            raise ValueError(
                f"{self.property}: {self.verdict} with {self.kind or 'no kind'}: an answer is Unknown for a reason of some kind"
            )


class Document(msgspec.Struct, frozen=True):
    """What `verify --json` prints."""

    schema: int
    model: str
    results: tuple[Result, ...]
    changes: tuple[Change, ...] = ()
    interrupted: bool = False
    not_asked: int = 0
    exit_code: int = 0


class MuseumItem(msgspec.Struct, frozen=True):
    """A known bug: found again or not, and its good twin: `good_twin` for people, `twin` its verdict."""

    name: str
    property: str
    scenario: str
    expected: Word
    got: Word
    depth: int | None
    good_twin: str
    twin: Word
    seconds: float
    ok: bool
    reason: str | None = None


MUSEUM = "museum.json"
"""What a visit leaves beside a run."""


class MuseumDocument(msgspec.Struct, frozen=True):
    """What `museum --json` prints."""

    schema: int
    items: tuple[MuseumItem, ...]
    interrupted: bool = False


def word_of(verdict: Verdict | PlainVerdict) -> Word:
    """The word for a verdict in JSON."""
    match verdict:
        case Proved():
            return "proved"
        case Violated() | PlainViolated():
            return "violated"
        case HoldsUpTo():
            return "holds_up_to"
        case Unknown(vacuous=True):
            return "vacuous"
        case Unknown():
            return "unknown"


def depth_of(verdict: Verdict | PlainVerdict) -> int | None:
    """How deep a verdict goes; None for every depth, or none at all."""
    match verdict:
        case Proved():
            return None
        case Violated() | PlainViolated() | HoldsUpTo():
            return verdict.depth
        case Unknown(depth=depth):
            return depth if depth >= 0 else None


def result(
    subject: Subject,
    answer: Answer,
    coverage: Coverage,
    expected: Expected | None,
    change: str | None = None,
    before: Before | None = None,
    *,
    cached: bool = False,
    alone: str = "",
    waivers: Iterable[Waiver] = (),
) -> Result:
    """The record of one answer; `before` is the verdict without the change, `alone` why there is none; `waivers` on which it leans."""
    model, survey, verdict = subject.model, subject.survey, answer.verdict
    lifted, ours, intrinsics = made_of(model)
    made = Result(
        property=answer.prop.name,
        scenario=model.scenario.name,
        change=None,
        kernel=kernel_of(model.scenario, model.kernel),
        verdict=word_of(verdict),
        depth=depth_of(verdict),
        seconds=round(answer.seconds, 3),
        trace=trace_steps(verdict.trace) if isinstance(verdict, Violated) else None,
        reason=verdict.reason if isinstance(verdict, Unknown) else None,
        kind=verdict.kind if isinstance(verdict, Unknown) else None,
        lifted=lifted,
        ours=ours,
        intrinsics=intrinsics,
        asked=answer.asked,
        expected="holds",
        as_expected=False,
        label=None,
        before=None,
        shortest=verdict.shortest if isinstance(verdict, Violated) else None,
        engine=verdict.engine,
        goals=dict(survey.goals),
        steps={role: RoleSteps(tuple(map(str, c.reached)), tuple(map(str, c.never))) for role, c in coverage.roles.items()},
        assumptions=assumptions(model),
        model=model.digest,
        states=survey.states,
        premise=answer.premise,
        deadlock=deadlock(subject),
        livelock=livelock(subject),
        coverage="exact" if coverage.exact else "sampled",
        undeclared=coverage.names,
        overdeclared=coverage.overdeclared,
        cached=cached,
        sizes=verdict.sizes if isinstance(verdict, Proved) else None,
        certificate=short_hash(answer.certificate) if isinstance(verdict, Proved) and answer.certificate else None,
        lemmas=verdict.lemmas if isinstance(verdict, Proved) else (),
        absent=absent(model),
        alone=alone,
    )
    return in_context(_leaning(made, waivers), expected, change, before)


def _leaning(record: Result, waivers: Iterable[Waiver]) -> Result:
    """What holds only if somebody's word is right is no approval; a violation needs nobody's word."""
    several = waived(waivers)
    if not several or record.verdict not in APPROVED:
        return record
    held: Held = "proved" if record.verdict == "proved" else "holds_up_to"
    return msgspec.structs.replace(record, verdict="waived", held=held, waivers=several)


def waived(waivers: Iterable[Waiver]) -> tuple[Waived, ...]:
    """Waivers as they are told."""
    return tuple(Waived(w.file, w.line, w.function, w.text, w.what) for w in waivers)


def before_of(verdict: Verdict | PlainVerdict) -> Before:
    """What is said of the verdict without a change."""
    return Before(word_of(verdict), depth_of(verdict))


def in_context(record: Result, expected: Expected | None, change: str | None = None, before: Before | None = None) -> Result:
    """The record as it is told of a change, and against what its scenario expects."""
    label = label_of(before.verdict, record.verdict) if before is not None else None
    wanted: Expected = expected or "holds"
    return msgspec.structs.replace(
        record,
        change=change,
        expected=wanted,
        as_expected=_as_expected(record.verdict, wanted, label),
        label=label,
        before=before,
    )


def unanswered(scenario: Scenario, name: str, change: str | None, why: Reason, kernel: str) -> Result:
    """The record of a question whose worker ended without an answer."""
    return Result(
        property=name, scenario=scenario.name, change=change, kernel=kernel_of(scenario, kernel), verdict="unknown",
        depth=None, seconds=0.0, trace=None, reason=why.text, kind=why.kind,
        lifted=(), asked=0, expected=scenario.expect.get(name, "holds"), as_expected=False, label=None, before=None,
        shortest=None, engine="none", goals={}, steps={}, assumptions=(), model="", absent=(),
    )  # fmt: skip


def kernel_of(scenario: Scenario, kernel: str) -> str:
    """Where the kernel C of an answer comes from: 'shipped' or a release, and whose design overrides functions of it."""
    outside = kernel == "shipped" and scenario.design not in designs()
    return f"{kernel} with design {scenario.design}" if outside else kernel


def made_of(model: Model) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What the threads of a model consist of: lifted functions, functions of ours, and intrinsics."""
    graphs = model.software.graphs.values()
    inlined = sorted({name for graph in graphs for name in graph.inlined})
    origin = {entry.partition(" ")[0]: entry for entry in model.lifted}
    lifted = tuple(origin[name] for name in inlined if name in origin)
    ours = tuple(name for name in inlined if name not in origin)
    return (
        lifted,
        ours,
        tuple(sorted({node.name for graph in graphs for node in graph.nodes if isinstance(node, Op) and node.name != "start"})),
    )


def _as_expected(verdict: Word, wanted: Expected, label: Label | None) -> bool:
    match verdict:
        case "violated":
            return wanted == "violated" and label != "introduced"
        case "proved" | "holds_up_to":
            return wanted == "holds" or label == "fixed"
        case "waived":
            return wanted == "holds"
        case "unknown" | "vacuous":
            return False


def label_of(before: Word, after: Word) -> Label | None:
    """What a change has to do with a violation."""
    match before, after:
        case "violated", "violated":
            return "pre-existing"
        case _, "violated":
            return "introduced" if before in APPROVED else None
        case "violated", _:
            return "fixed" if after in APPROVED else None
        case _:
            return None


APPROVED: tuple[Word, ...] = ("holds_up_to", "proved")
HOLDING: tuple[Word, ...] = (*APPROVED, "waived")
"""What an answer is that found nothing."""


def without_approval(record: Result, why: Reason) -> Result:
    """The record of a change that the model does not contain: what holds is Unknown, a violation stays one."""
    if record.verdict not in HOLDING:
        return record
    return msgspec.structs.replace(record, verdict="unknown", held=None, reason=why.text, kind=why.kind, label=None, as_expected=False)


def change_record(
    name: str,
    subject: str,
    lines: Sequence[Accounted],
    notes: Sequence[str] = (),
    open_: Sequence[judged.Unjudged] = (),
    *,
    posted: Posted | None = None,
    diff: str = "",
) -> Change:
    """What became of all lines of a change, and what of it no run has judged."""
    records = tuple(ChangedLine(a.line.file, a.line.line, a.line.kind, a.line.text, a.fate, a.why, a.line.near) for a in lines)
    unjudged = tuple(Unjudged(u.file, u.line, u.text, u.why) for u in open_)
    kept = diff if len(diff) <= LONGEST_DIFF else ""
    return Change(name, subject, not unmodelled(lines), records, tuple(notes), unjudged=unjudged, posted=posted, diff=kept)


def refused_change(name: str, subject: str, why: str) -> Change:
    """A change of which nothing can be asked."""
    return Change(name, subject, False, (), refused=why)


def document(results: Iterable[Result], changes: Iterable[Change] = (), *, interrupted: bool = False, not_asked: int = 0) -> Document:
    """All records of a run, under one hash of every model that was asked."""
    records = tuple(results)
    joined = " ".join(sorted({r.model for r in records}))
    digest = hashlib.sha256(joined.encode()).hexdigest()[:12]
    checked = tuple(changes)
    code = exit_code(records, checked, interrupted=interrupted)
    return Document(SCHEMA, digest, records, checked, interrupted, not_asked, int(code))


def exit_code(records: Iterable[Result], changes: Iterable[Change] = (), *, interrupted: bool = False) -> ExitCode:
    """The code of a run: that of its worst answer; a change that is not modelled, or not judged, as a whole is something unknown."""
    codes = [_code(r) for r in records]
    codes += [ExitCode.INTERRUPTED] * interrupted
    codes += [ExitCode.UNKNOWN] * (not all(c.modelled and not c.unjudged for c in changes))
    return worst(codes)


def _code(record: Result) -> ExitCode:
    match record.verdict:
        case "violated":
            return ExitCode.HOLDS if record.as_expected else ExitCode.VIOLATED
        case "unknown" | "vacuous":
            return ExitCode.UNKNOWN
        case "proved" | "holds_up_to" | "waived":
            return ExitCode.HOLDS


def assumptions(model: Model) -> tuple[str, ...]:
    """What is taken for granted, in short sentences."""
    scenario = model.scenario
    hardware, start = scenario.hardware, scenario.start
    coherent = {True: "every device snoops", False: "no device snoops", "any": "each device may or may not snoop"}[hardware.coherent]
    threads = ", ".join(f"{t.role} ({t.entry})" + (f" x{t.count}" if t.count > 1 else "") for t in scenario.thread)
    return (
        f"threads: {threads}; nobody else runs",
        f"hardware: {'vCPUs run guest code' if hardware.cpu else 'vCPUs run no guest code'}, "
        f"{'an IOMMU walks and caches' if hardware.iommu else 'no IOMMU walks'}; {coherent}"
        + ("; every device has a TLB of its own (ATS)" if hardware.ats else "")
        + ("; an invalidation of a part of a 2 MiB translation drops that" if hardware.part_drops_huge else ""),
        f"sizes: {_sizes(model)}",
        *_spaces(model),
        *_queue(model),
        f"start: tables {start.tables}, host {start.host}, " + ("shared already" if start.exported else "not shared"),
        "memory is sequentially consistent; interrupts, faults of the hardware and memory pressure other than shown are left out",
    )


def _spaces(model: Model) -> tuple[str, ...]:
    """Who walks which roots, where a scenario says so."""
    named = [n for space in model.scenario.space for n in space.roots or ()]
    others = [n for n in range(model.scenario.geometry.roots) if n not in named]
    who = {"cpu": "vCPUs", "iommu": "IOMMUs"}
    told = []
    for space in model.scenario.space:
        numbers = others if space.roots is None else space.roots
        roots = f"root{'s' if len(numbers) > 1 else ''} {listed([str(n) for n in numbers])}"
        walkers = listed([who[x] for x in space.walked_by]) or "nobody"
        kept = f"under {space.lock}, told by {'KVM' if space.notifier == 'kvm' else space.notifier}"
        repeats = f", repeats {space.mirrors}" if space.mirrors else ""
        told.append(f"{roots} ({space.name}) {'is' if len(numbers) == 1 else 'are'} walked by {walkers}, {kept}{repeats}")
    return ("spaces: " + "; ".join(told),) if told else ()


def _queue(model: Model) -> tuple[str, ...]:
    if not is_bounded(model.software.graphs.values()):
        return ()
    return (f"a thread that submits more descriptors than {LOOPING} and does not wait for them, waits for a place in the queue",)


def _sizes(model: Model) -> str:
    sizes: dict[str, int] = msgspec.structs.asdict(model.scenario.geometry) | {"frames": model.scenario.frames}
    descs = model.geometry.sizes[DESC.name]
    several = {"descriptors of a thread in a queue": descs} if descs > 1 else {}
    return ", ".join(f"{name} {size}" for name, size in (sizes | several).items())
