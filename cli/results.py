"""What a run says, as typed records: the JSON document is these and nothing else, and tables are made from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from ..core.system import Action
from ..core.trace import Trace
from ..core.verdict import HoldsUpTo, Proved, Unknown, Verdict, Violated
from ..counterexamples.document import absent
from ..kernelc.cfg import Op
from ..model.account import Accounted, Fate, unmodelled
from ..model.scenario import Expected
from ..model.system import Model
from .question import Answer, Survey

SCHEMA = 1
Word = Literal["proved", "violated", "holds_up_to", "unknown", "vacuous"]
Label = Literal["introduced", "pre-existing", "fixed"]
NOT_MODELLED = "change not modelled"


class TraceStep(msgspec.Struct, frozen=True):
    """One step of a violating run; `source` is `file:line` of its kernel C, if it has any."""

    actor: str
    action: str
    arguments: tuple[int, ...]
    text: str
    source: str | None


class RoleSteps(msgspec.Struct, frozen=True):
    """Which source lines of a thread some run executed, and which none did; `file:line: text`."""

    reached: tuple[str, ...]
    never: tuple[str, ...]


class ChangedLine(msgspec.Struct, frozen=True):
    """What became of one changed line."""

    file: str
    line: int
    kind: Literal["added", "removed"]
    text: str
    fate: Fate
    why: str


class Change(msgspec.Struct, frozen=True):
    """One change that was checked: `modelled` says whether the model contains all of it."""

    name: str
    subject: str
    modelled: bool
    lines: tuple[ChangedLine, ...]
    notes: tuple[str, ...] = ()


class Before(msgspec.Struct, frozen=True):
    """The verdict without the change."""

    verdict: Word
    depth: int | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question.

    Args:
        depth: of a violation its steps; else how deep nothing was found.
        asked: the depth asked for.
        label: with a change, what it has to do with a violation.
        shortest: whether no shorter run violates the property; None if nobody established that.
        goals: the depth at which each declared goal was reached, None if it was not.
        steps: per role of thread, the lines that were reached and that never were.
        lifted, ours, intrinsics: functions from a kernel tree, functions of ours, and calls with a meaning of their own.
        states: how many states there are at this size, when every one was visited: then the answer holds at every depth.
        absent: what of a machine has no part in this model.
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
    lemmas: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


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
    """A known bug: found again or not, and its good twin."""

    name: str
    property: str
    scenario: str
    expected: Word
    got: Word
    depth: int | None
    good_twin: str
    seconds: float
    ok: bool
    reason: str | None = None


class MuseumDocument(msgspec.Struct, frozen=True):
    """What `museum --json` prints."""

    schema: int
    items: tuple[MuseumItem, ...]
    interrupted: bool = False


def to_json(document: msgspec.Struct) -> str:
    """A document as indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def word_of(verdict: Verdict) -> Word:
    """The word for a verdict in JSON."""
    match verdict:
        case Proved():
            return "proved"
        case Violated():
            return "violated"
        case HoldsUpTo():
            return "holds_up_to"
        case Unknown(vacuous=True):
            return "vacuous"
        case Unknown():
            return "unknown"


def depth_of(verdict: Verdict) -> int | None:
    """How deep a verdict goes; None for every depth, or none at all."""
    match verdict:
        case Proved():
            return None
        case Violated() | HoldsUpTo():
            return verdict.depth
        case Unknown(depth=depth):
            return depth if depth >= 0 else None


def result(
    model: Model, answer: Answer, survey: Survey, expected: Expected | None, change: str | None = None, before: Verdict | None = None
) -> Result:
    """The record of one answer; `before` is the verdict without the change."""
    verdict = answer.verdict
    lifted, ours, intrinsics = made_of(model)
    label = label_of(before, verdict) if before is not None else None
    wanted: Expected = expected or "holds"
    return Result(
        property=answer.prop.name,
        scenario=model.scenario.name,
        change=change,
        kernel=model.kernel,
        verdict=word_of(verdict),
        depth=depth_of(verdict),
        seconds=round(answer.seconds, 3),
        trace=trace_steps(verdict.trace) if isinstance(verdict, Violated) else None,
        reason=verdict.reason if isinstance(verdict, Unknown) else None,
        lifted=lifted,
        ours=ours,
        intrinsics=intrinsics,
        asked=answer.asked,
        expected=wanted,
        as_expected=_as_expected(verdict, wanted, label),
        label=label,
        before=None if before is None else Before(word_of(before), depth_of(before)),
        shortest=verdict.shortest if isinstance(verdict, Violated) else None,
        engine=verdict.engine,
        goals=dict(survey.goals),
        steps=role_steps(model, survey.fired),
        assumptions=assumptions(model),
        model=model.digest,
        states=survey.states,
        lemmas=verdict.lemmas if isinstance(verdict, Proved) else (),
        absent=absent(model),
    )


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


def _as_expected(verdict: Verdict, wanted: Expected, label: Label | None) -> bool:
    match verdict:
        case Violated():
            return wanted == "violated" and label != "introduced"
        case Proved() | HoldsUpTo():
            return wanted == "holds" or label == "fixed"
        case Unknown():
            return False


def label_of(before: Verdict, after: Verdict) -> Label | None:
    """What a change has to do with a violation."""
    match before, after:
        case Violated(), Violated():
            return "pre-existing"
        case _, Violated():
            return "introduced" if isinstance(before, (HoldsUpTo, Proved)) else None
        case Violated(), (HoldsUpTo() | Proved()):
            return "fixed"
        case _:
            return None


def without_approval(record: Result, why: str) -> Result:
    """The record of a change that the model does not contain: what holds is Unknown, a violation stays one."""
    if record.verdict not in ("holds_up_to", "proved"):
        return record
    return msgspec.structs.replace(record, verdict="unknown", reason=why, label=None, as_expected=False)


def change_record(name: str, subject: str, lines: Sequence[Accounted], notes: Sequence[str] = ()) -> Change:
    """What became of all lines of a change."""
    records = tuple(ChangedLine(a.line.file, a.line.line, a.line.kind, a.line.text, a.fate, a.why) for a in lines)
    return Change(name, subject, not unmodelled(lines), records, tuple(notes))


def document(results: Iterable[Result], changes: Iterable[Change] = (), *, interrupted: bool = False, not_asked: int = 0) -> Document:
    """All records of a run, under one hash of every model that was asked."""
    records = tuple(results)
    joined = " ".join(sorted({r.model for r in records}))
    digest = hashlib.sha256(joined.encode()).hexdigest()[:12]
    checked = tuple(changes)
    code = exit_code(records, checked, interrupted=interrupted)
    return Document(SCHEMA, digest, records, checked, interrupted, not_asked, code)


INTERRUPTED_CODE = 130


def exit_code(records: Iterable[Result], changes: Iterable[Change] = (), *, interrupted: bool = False) -> int:
    """0 if every question is answered, 1 if something is violated that no scenario expects, 3 if something is unknown.

    A change that is not modelled as a whole is something unknown. A run that was interrupted has its own code, unless it
    found a violation by then.
    """
    codes = {_code(r) for r in records}
    if 1 in codes:
        return 1
    if interrupted:
        return INTERRUPTED_CODE
    return 3 if 3 in codes or not all(c.modelled for c in changes) else 0


def _code(record: Result) -> int:
    match record.verdict:
        case "violated":
            return 0 if record.as_expected else 1
        case "unknown" | "vacuous":
            return 3
        case "proved" | "holds_up_to":
            return 0


def trace_steps(trace: Trace) -> tuple[TraceStep, ...]:
    """A run, step by step."""
    return tuple(
        TraceStep(
            actor=step.action.actor,
            action=step.action.name,
            arguments=step.arguments,
            text=step_text(step.action, step.arguments, trace),
            source=str(step.action.source[0]) if step.action.source else None,
        )
        for step in trace.steps
    )


def step_text(action: Action, arguments: Sequence[int], trace: Trace) -> str:
    """The label of a step, with the values of its parameters put in."""
    text = action.label or action.name
    for param, value in zip(action.params, arguments, strict=True):
        shown = param.kind.show(value) if hasattr(param.kind, "show") else str(value)
        text = text.replace("{" + param.name + "}", shown)
    return text


def role_steps(model: Model, fired: Iterable[str]) -> dict[str, RoleSteps]:
    """Per role the source lines that the fired actions executed, and those that no action that fired did."""
    software, taken = model.software, set(fired)
    result = {}
    for role, graph in software.graphs.items():
        steps = [s for s in software.steps.values() if s.role == role]
        known = {n for s in steps for n in s.nodes}
        passed = {n for s in steps if s.action in taken for n in s.nodes}
        lines: dict[tuple[str, int], bool] = {}
        for number in known:
            at = graph.nodes[number].at
            if at.text:
                lines[at.file, at.line] = lines.get((at.file, at.line), False) or number in passed
        shown = {place: f"{place[0]}:{place[1]}: {software.lines.get(place, '')}" for place in lines}
        ordered = sorted(lines)
        result[role] = RoleSteps(tuple(shown[p] for p in ordered if lines[p]), tuple(shown[p] for p in ordered if not lines[p]))
    return result


def assumptions(model: Model) -> tuple[str, ...]:
    """What is taken for granted, in short sentences."""
    scenario = model.scenario
    hardware, start = scenario.hardware, scenario.start
    coherent = {True: "every device snoops", False: "no device snoops", "any": "each device may or may not snoop"}[hardware.coherent]
    threads = ", ".join(f"{t.role} ({t.entry})" + (f" x{t.count}" if t.count > 1 else "") for t in scenario.thread)
    return (
        f"threads: {threads}; nobody else runs",
        f"hardware: {'vCPUs run guest code' if hardware.cpu else 'vCPUs run no guest code'}, "
        f"{'an IOMMU walks and caches' if hardware.iommu else 'no IOMMU walks'}; {coherent}",
        f"sizes: {_sizes(model)}",
        f"start: tables {start.tables}, host {start.host}, " + ("shared already" if start.exported else "not shared"),
        "memory is sequentially consistent; interrupts, faults of the hardware and memory pressure other than shown are left out",
    )


def _sizes(model: Model) -> str:
    sizes: Mapping[str, int] = msgspec.structs.asdict(model.scenario.geometry) | {"frames": model.scenario.frames}
    return ", ".join(f"{name} {size}" for name, size in sizes.items())
