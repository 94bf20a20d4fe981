"""One version of a scenario as its worker knows it, and answers to its questions without terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...checker import processes
from ...checker.processes import Answered, Died, Failed, Failure, News, reason_of
from ...core.errors import EngineError
from ...core.plain import PlainRun, PlainVerdict, plain_verdict, renamed, verdict_of
from ...core.system import TransitionSystem
from ...core.verdict import Unknown
from ...model.change.account import same_behaviour
from ...model.system import Model
from ..inputs.changes import Version
from ..inputs.sources import Built
from .coverage import Coverage, covered
from .question import Answer, Subject


@dataclass(frozen=True)
class PlainAnswer:
    """An answer without terms."""

    verdict: PlainVerdict
    asked: int
    seconds: float
    first: float | None = None
    interrupted: bool = False
    premise: int | None = None
    fired: frozenset[str] = frozenset()
    cached: bool = False
    certificate: str = ""

    @staticmethod
    def of(answer: Answer) -> PlainAnswer:
        """An answer, without its terms."""
        return PlainAnswer(
            plain_verdict(answer.verdict), answer.asked, answer.seconds, answer.first_found, answer.interrupted, answer.premise,
            answer.fired, certificate=answer.certificate,
        )  # fmt: skip

    def answer(self, subject: Subject, name: str) -> Answer:
        """The answer on a model; a violation is replayed.

        Raises:
            EngineError: it does not replay.
        """
        prop = subject.properties[name]
        verdict = verdict_of(self.verdict, prop, subject.evaluator)
        return Answer(prop, verdict, self.asked, self.seconds, self.first, self.interrupted, self.premise, self.fired, self.certificate)


@dataclass
class Asked:
    """One version of the scenario, with what is known of it."""

    number: int
    made: Built
    subject: Subject
    same_as: Asked | None
    answers: dict[str, PlainAnswer] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def fired(self, name: str) -> set[str]:
        """The actions that fired in the survey, and in the runs that were found for the answer to one property."""
        return self.subject.survey.fired | self.answers[name].fired

    def coverage(self, name: str, before: Asked | None, change: Version) -> Coverage:
        """What was executed for an answer; a change has not to answer for what was so before."""
        known = None
        if before is not None:
            known = covered(before.subject.model, before.fired(name), exact=False).before(
                change.touched("added"), change.touched("removed")
            )
        model = self.subject.model
        exact = self.subject.survey.states is not None and not joins(model)
        return covered(model, self.fired(name), exact=exact, before=known)


def joins(model: Model) -> bool:
    """Whether steps of this model stand for several ways through local code, so that which lines ran is not told apart."""
    return bool(model.system.words)


def ended(news: News, subject: Subject, depth: int, seconds: float) -> PlainAnswer:
    """The answer to a question whose process ended like this."""
    match news:
        case Answered(value=PlainAnswer() as answer):
            return answer
        case Failed(kind=Failure.ENGINE, message=message):
            return fault(subject, EngineError(message), seconds)
        case Died() | Failed():
            why = reason_of(news)
        case _:
            why = processes.fault(news)
    asked = subject.asked
    known = f"depth: searched to {depth} of {asked}; " if depth >= 0 else ""
    return PlainAnswer(Unknown(why.prefixed(known), "none", depth), asked, seconds)


def fault(subject: Subject, error: EngineError, seconds: float = 0.0) -> PlainAnswer:
    """What is told where an engine contradicts plain evaluation."""
    return PlainAnswer(Unknown(processes.fault(error), "none"), subject.asked, seconds)


# Versions that behave alike need no second search


def same_model(before: Model, after: Model) -> bool:
    alike = before.scenario == after.scenario and before.geometry.sizes == after.geometry.sizes
    return alike and same_behaviour(before.system, after.system)


def _numbers(system: TransitionSystem) -> dict[str, int]:
    return {action.name: number for number, action in enumerate(system.actions)}


def carry(before: Asked, after: Asked) -> None:
    """Take over what is known of a version that behaves alike: only its actions have other lines, perhaps."""
    old, new = before.made.model.system, after.made.model.system
    names = {action.name: new.actions[number].name for number, action in enumerate(old.actions)}
    if "survey" in vars(before.subject) and "survey" not in vars(after.subject):
        survey = before.subject.survey
        after.subject.survey = replace(
            survey,
            fired={names[n] for n in survey.fired},
            violations={n: _renamed_run(r, names) for n, r in survey.violations.items()},
            stuck=None if survey.stuck is None else tuple(replace(s, run=_renamed_run(s.run, names)) for s in survey.stuck),
            livelocks=survey.livelocks and tuple(replace(s, run=_renamed_run(s.run, names)) for s in survey.livelocks),
        )
    for name, answer in before.answers.items():
        if name not in after.answers:
            verdict = renamed(answer.verdict, names)
            after.answers[name] = replace(answer, verdict=verdict, seconds=0.0, fired=frozenset(names[n] for n in answer.fired))


def _renamed_run(run: PlainRun, names: Mapping[str, str]) -> PlainRun:
    return PlainRun(run.initial, tuple((names[name], arguments) for name, arguments in run.steps))
