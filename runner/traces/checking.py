"""Each window of a trace, asked of the model: accepted, refused, not decided in time, or not judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ...checker.clock import Clock, OutOfTime
from ...model.scenario import Scenario
from ...model.system import Code
from ...traces.flows import flows_of
from ...traces.format import Trace
from ...traces.windows import MOST, Member, Window, windows_of
from .acceptance import Refused, Search
from .casting import Cast, Stage, cast_of, stages_of

TOLD = 20
"""So many refusals are told whole; alike ones are counted."""


@dataclass(frozen=True)
class Lane:
    """A thread of a window, and what was seen of it: each with the times between which it happened."""

    name: str
    task: int
    seen: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Refusal:
    """A window that is no run of the model.

    Args:
        gfn: the page from which it is seen.
        begin, end: between which times of the recording.
        start: what a walk to the page finds at the beginning.
        lanes: who takes part.
        came: how many of the labels of each lane a run of the model has, at most.
        cannot: the first event that cannot be explained, with its lane; others may stand beside it.
        instead: what the model allows there.
        guard: what refused.
        times: how many windows were seen that are the same but for the frames and the page.
    """

    gfn: int
    begin: int
    end: int
    start: str
    lanes: tuple[Lane, ...]
    came: tuple[int, ...]
    cannot: tuple[str, ...]
    instead: tuple[str, ...]
    guard: str
    times: int = 1


@dataclass(frozen=True)
class Checked:
    """What came out.

    Args:
        kernel, seed: of the trace; `lost` events had no room in it.
        design, change: of the model.
        accepted: by the two that overlap.
        refused: each kind once.
        not_judged: by why not.
        open: windows that were not decided in time.
        early: attempts that gave up before they asked for mmu_lock: the model has no such step, and they change nothing.
        words: how many different ones were seen, by the two that overlap.
        threads: how many windows have so many threads.
    """

    kernel: str
    seed: int
    lost: int
    design: str
    change: str
    accepted: Mapping[str, int]
    refused: tuple[Refusal, ...]
    not_judged: Mapping[str, int]
    open: int
    early: int
    words: Mapping[str, int]
    threads: Mapping[int, int]
    seconds: float = 0.0

    @property
    def refusals(self) -> int:
        return sum(each.times for each in self.refused)

    @property
    def acceptances(self) -> int:
        return sum(self.accepted.values())


@dataclass
class _Count:
    accepted: Counter[str] = field(default_factory=Counter)
    open: int = 0
    words: dict[str, set[object]] = field(default_factory=dict)
    threads: Counter[int] = field(default_factory=Counter)


def check(
    trace: Trace,
    design: str,
    code: Callable[[Scenario], Code],
    *,
    change: str = "",
    timeout: float | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
    until_refused: bool = False,
    threads: int = MOST,
) -> Checked:
    """Ask of each window of a trace whether it is a run of the model.

    Args:
        design: of the model.
        code: the kernel C of a scenario.
        change: what it is changed by, as it is called.
        timeout: seconds in all; None for no limit.
        progress: is told how many windows are done, and of how many.
        until_refused: end at the first that is refused.
        threads: windows with more are left out.

    Raises:
        InputError: the trace contradicts itself, or the design lacks an entry function.
        Refusal: kernel C outside the subset.
    """
    clock = Clock(timeout)
    flows = flows_of(trace)
    windows = windows_of(flows)
    judged = sorted((window for window in windows if 0 < len(window.members) <= threads), key=lambda window: len(window.members))
    not_judged = Counter(window.why for window in windows if not window.members)
    stages: dict[Cast, tuple[Stage, ...]] = {}
    answers: dict[object, Refused | bool] = {}
    refused: dict[object, Refusal] = {}
    count = _Count()
    for number, window in enumerate(judged):
        progress(number, len(judged))
        pair = " beside ".join(window.pair)
        count.words.setdefault(pair, set()).add(window.word)
        count.threads[len(window.members)] += 1
        key = _shape(window)
        try:
            if key not in answers:
                clock.check()
                answers[key] = _answer(window, stages, design, code, clock)
        except OutOfTime:
            count.open += len(judged) - number
            break
        answer = answers[key]
        if answer is True:
            count.accepted[pair] += 1
        elif answer is False:
            not_judged["it begins with a frozen entry, from which no scenario begins"] += 1
        else:
            _note(refused, window, answer)
            if until_refused:
                break
    return Checked(
        trace.header.kernel, trace.header.seed, trace.header.lost, design, change, dict(count.accepted), tuple(refused.values())[:TOLD],
        dict(not_judged), count.open, sum(a.early for a in flows.attempts), {pair: len(seen) for pair, seen in count.words.items()},
        dict(sorted(count.threads.items())), clock.spent,
    )  # fmt: skip


def _answer(
    window: Window, stages: dict[Cast, tuple[Stage, ...]], design: str, code: Callable[[Scenario], Code], clock: Clock
) -> Refused | bool:
    """True if some model has it; False if there is no model to ask."""
    cast = cast_of(window)
    if cast not in stages:
        stages[cast] = stages_of(cast, design, code)
    found: Refused | bool = False
    for stage in stages[cast]:
        result = Search(window, stage, clock).run()
        if result is None:
            return True
        if not isinstance(found, Refused) or sum(result.came) > sum(found.came):
            found = result
    return found


def _shape(window: Window) -> object:
    """What of a window its answer depends on: times by their order, frames by which are the same."""
    labels = [label for member in window.members for label in member.labels]
    times = {time: rank for rank, time in enumerate(sorted({t for label in labels for t in label.when}))}
    pfns: dict[int | None, int] = {None: -1}
    frames = [pfns.setdefault(pfn, len(pfns)) for pfn in (window.start.pfn, *(label.after.pfn for label in labels if label.after))]
    rows = tuple(tuple((label.letter, times[label.when[0]], times[label.when[1]]) for label in m.labels) for m in window.members)
    return cast_of(window), rows, window.order, tuple(frames)


def _note(refused: dict[object, Refusal], window: Window, answer: Refused) -> None:
    key = window.word[0], window.word[1], tuple((t, str(label)) for t, label in answer.wanted), answer.came
    known = refused.get(key)
    if known is not None:
        refused[key] = Refusal(**{**known.__dict__, "times": known.times + 1})
        return
    names = _names(window.members)
    refused[key] = Refusal(
        window.gfn,
        window.begin,
        window.end,
        str(window.start),
        tuple(_lanes(window)),
        answer.came,
        tuple(f"{names[thread]}: {label} (between {label.when[0]} and {label.when[1]})" for thread, label in answer.wanted),
        tuple(answer.instead),
        answer.guard,
    )


def _names(members: tuple[Member, ...]) -> list[str]:
    return [f"{member.role} {number}" for number, member in enumerate(members)]


def _lanes(window: Window) -> Iterator[Lane]:
    for name, member in zip(_names(window.members), window.members, strict=True):
        yield Lane(name, member.flow.task, tuple((str(label), *label.when) for label in member.labels))


__all__ = ["Checked", "Lane", "Refusal", "check"]
