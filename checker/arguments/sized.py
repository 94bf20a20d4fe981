"""What an argument misses, at one size: steps that start where all of it holds and after which some of it does not.

Such a step is a counterexample to induction of the argument for every size, too. Each is found by a SAT solver, and believed only after
plain evaluation has taken it. That there is none says nothing of other sizes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...core.errors import EngineError
from ...core.evaluation.evaluate import Evaluator, State
from ...core.ground import ground
from ...core.sorts import Geometry
from ...core.system import Action, Lemma, Property, TransitionSystem
from ..circuits.circuit import circuit
from ..circuits.inductive import existing, grounded_parts
from ..circuits.sat import Clauses, Sat
from ..clock import Clock

SOLVER = "minisat22"


@dataclass(frozen=True)
class Missed:
    """A counterexample to induction, evaluated.

    Args:
        lemma: the lemma or property that does not hold after the step.
        state: where the step starts; everything that was assumed holds there.
    """

    lemma: str
    action: Action
    arguments: tuple[int, ...]
    state: State


class SizedArgument:
    """An argument for some properties at one size.

    Args:
        lemmas: the argument. The properties themselves are part of what is assumed before a step and asked after it.
        clock: how much time there is for all questions.
    """

    def __init__(
        self, system: TransitionSystem, geometry: Geometry, properties: Sequence[Property], lemmas: Sequence[Lemma], clock: Clock
    ) -> None:
        self.system = system
        self.properties = tuple(x.name for x in properties)
        self.lemmas = tuple(x.name for x in lemmas)
        self._holds = {x.name: x.holds for x in properties} | {x.name: x.holds for x in lemmas}
        grounded = ground(system, geometry, fold=False)
        self.parts = parts = {name: grounded_parts(grounded, term) for name, term in self._holds.items()}
        asked = [part for each in parts.values() for part in each]
        also = [*asked, *existing(grounded)]
        self._made = made = circuit(grounded, properties[0], also)
        later = made.aig.replace(made.after, made.also[: len(asked)])
        cnf = Clauses(made.aig, [*(latch.node for latch in made.latches), *made.inputs], [*made.also, *later])
        started = [[len(made.latches)]] if made.starts_late else []
        self._sat = Sat(SOLVER, [*cnf.clauses, *started, *([cnf.literal(x)] for x in made.also[len(asked) :])], clock)
        self._most = cnf.most
        self._held: dict[str, int] = {}
        self._broken: dict[str, int] = {}
        first = 0
        for name, each in parts.items():
            mine = range(first, first + len(each))
            first += len(each)
            self._held[name], self._broken[name] = self._fresh(), self._fresh()
            for i in mine:
                self._sat.add([-self._held[name], cnf.literal(made.also[i])])
            changed = [-cnf.literal(later[i]) for i in mine if later[i] != made.also[i]]
            self._sat.add([-self._broken[name], *changed])

    def _fresh(self) -> int:
        self._most += 1
        return self._most

    def without(self, *left_out: str, asked: Collection[str] | None = None) -> Iterator[Missed]:
        """A step for each of the other lemmas and properties that does not go through without those `left_out`.

        Args:
            asked: ask of these alone; by default, of all.

        Raises:
            OutOfTime: the time is up.
            EngineError: the solver's answer does not stand up to evaluation.
        """
        kept = [name for name in self._holds if name not in left_out]
        todo = [name for name in kept if asked is None or name in asked]
        while todo:
            any_of = self._fresh()
            self._sat.add([-any_of, *(self._broken[name] for name in todo)])
            if not self._sat.ask([any_of, *(self._held[name] for name in kept)]):
                return
            found = self._read(self._sat.model(), kept, todo)
            yield found
            todo.remove(found.lemma)

    def _read(self, model: Sequence[int], kept: Sequence[str], todo: Sequence[str]) -> Missed:
        """The step of a model, by plain evaluation."""
        made, evaluator = self._made, self._evaluator
        state = evaluator.first(made.cells(model))
        chosen = made.fires(made.chosen(model), state, evaluator)
        if chosen is None:
            raise EngineError("a solver found a step, and by evaluation none can be taken there")
        after = evaluator.after(chosen.action, chosen.arguments, state)
        wrong = [name for name in kept if not evaluator.holds(self._holds[name], state)]
        broken = [name for name in todo if not evaluator.holds(self._holds[name], after)]
        if wrong or not broken or not evaluator.fits(state):
            raise EngineError(
                f"{chosen.name}: a solver says that it breaks one of {', '.join(todo)}; by evaluation it breaks "
                f"{', '.join(broken) or 'none'}, and before it {', '.join(wrong) or 'everything'} {'fails' if wrong else 'holds'}"
            )
        return Missed(broken[0], chosen.action, chosen.arguments, state)

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self._made.grounded.system, self._made.grounded.geometry)


__all__ = ["Missed", "SizedArgument"]
