"""The certificate of a large argument: its clauses, and for each step the instances of them that prove it.

A system and an invariant as in `certificate.py`, but every quantifier inside has a name (`theory.py`), and the instances stand at the end.
Who checks it makes the instances himself and asks questions without quantifiers (`instances.py`): a certificate cannot make a wrong
step go through, whatever instances it names.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import z3

from ...core.errors import InputError
from ...core.evaluation.evaluate import Layout, State
from ...core.sorts import Geometry, Kind, Truth
from ...core.system import Lemma, Property, TransitionSystem
from ...recheck.instances import Use, Uses
from ...recheck.obligations import INITIALLY
from ...recheck.questions import open_steps
from ...recheck.reader import parse
from ...recheck.sexpr import OPERATORS, name_of, read, symbol, tokens, write
from ..every_size.ematching import Instance
from ..every_size.induction import EVERY_SIZE
from ..every_size.theory import Clause, Existential, Theory
from .certificate import INSTANTIATED, Head, ParametricWriter, definition, parameters, part_name, property_lines, says, text_of
from .smtlib import Writer, sort_text


@dataclass(frozen=True)
class InitialState:
    """An initial state of a system at some size."""

    geometry: Geometry
    state: State

    def lines(self, system: TransitionSystem, elements: Mapping[str, int]) -> Iterator[str]:
        """What a certificate says of it.

        Args:
            elements: the constants that name elements, by name, with the element's number.
        """
        layout = Layout(system, self.geometry)
        size = self.geometry.size
        for sort in system.sorts:
            yield f"(set-info :start-size ({symbol(sort.name)} {size(sort)}))"
        for var in system.state:
            yield _line(var.name, [_shown(var.kind, layout.value(self.state, var, *at)) for at in self._places(var.params)])
        for rigid in system.rigids:
            yield _line(rigid.name, [_shown(rigid.kind, int(rigid.meaning(self.geometry, at))) for at in self._places(rigid.params)])
        for name, number in elements.items():
            yield _line(name, [str(number)])

    def _places(self, params: tuple[Kind, ...]) -> Iterator[tuple[int, ...]]:
        return itertools.product(*(range(self.geometry.size(kind)) for kind in params))


def _line(name: str, values: list[str]) -> str:
    return f"(set-info :start-value ({symbol(name)} {' '.join(values)}))"


def _shown(kind: Kind, value: int) -> str:
    return ("true" if value else "false") if isinstance(kind, Truth) else str(value)


def recorded(text: str, what: str) -> Uses:
    """The instances that an instantiated certificate names.

    Raises:
        InputError: it is no such certificate.
    """
    found = parse(text, what)
    if found.kind != INSTANTIATED:
        raise InputError(f"{what}: this is a {found.kind} certificate, which names no instances; give one that `tdpcheck prove --out` left")
    result: Uses = {}
    for step, instances in found.uses.items():
        result[step] = tuple((name_of(use[0]), tuple(map(write, use[1:]))) for use in instances)
    return result


def fitting(theory: Theory, uses: Uses) -> Uses:
    """Those of `uses` that are of clauses, and speak of functions, that `theory` has: they may come from another one."""
    return InstantiatedWriter(theory).known(uses)


def left_open(theory: Theory, uses: Uses) -> list[str]:
    """The steps of which `uses`, as far as they fit, leave something open."""
    return open_steps(instantiated(theory, fitting(theory, uses)))


def instantiated(theory: Theory, uses: Uses, start: InitialState | None = None, *, digest: str = "", scenario: str = "") -> str:
    """The certificate that the lemmas and properties of `theory` are inductive, at every size, as `uses` shows step by step.

    Args:
        start: an initial state, without which nobody accepts it.
        digest: a hash of the model, for the reader.
        scenario: its name, for the reader.

    Raises:
        ModelError: a term that cannot be written.
    """
    head = Head(INSTANTIATED, theory.system.name, theory.properties, EVERY_SIZE, digest, scenario)
    writer = InstantiatedWriter(theory)
    lines = [*head.lines(len(theory.parts), len(theory.actions)), *writer.statement(theory.properties), *writer.invariant()]
    return text_of([*lines, *writer.proofs(uses), *writer.start(start)])


def instantiated_statement(system: TransitionSystem, properties: Sequence[Property]) -> str:
    """What such a certificate about `system` and `properties` says before its invariant."""
    theory = Theory(system, properties, ())
    head = Head(INSTANTIATED, system.name, tuple(properties), EVERY_SIZE, "", "")
    return text_of([*head.lines(0, len(system.actions)), *InstantiatedWriter(theory).statement(properties)])


class InstantiatedWriter(ParametricWriter):
    """Writes a theory: with its named quantifiers, in the state before and after a step."""

    def __init__(self, theory: Theory) -> None:
        super().__init__(theory.system)
        self._theory = theory
        names = dict(self.closed.names)
        names |= {name: symbol(name) for named in theory.existentials for name in sorted(named.symbols)}
        names |= {name: symbol(name) for part in theory.parts for name in (x.decl().name() for x in part.variables)}
        self.closed = Writer(names)

    def statement(self, properties: Sequence[Property]) -> Iterator[str]:
        """Everything but the invariant and its proof."""
        theory = self._theory
        yield from self.declarations()
        yield ""
        yield "; ---- quantifiers that occur in what follows"
        yield from (self._existential(named) for named in theory.existentials[: theory.existentials_of_system])
        yield from (self._clause("axiom", clause) for clause in theory.axioms)
        yield ""
        yield "; ---- initially"
        yield from (self._clause("init", clause) for clause in theory.initial)
        for action in theory.actions.values():
            yield from self.action(action)
        for prop in properties:
            yield from property_lines(prop, self.closed(prop.holds))

    def invariant(self) -> Iterator[str]:
        """The clauses, each under its lemma's name and a number."""
        theory = self._theory
        yield ""
        yield "; ---- the invariant: every clause holds initially, and every action keeps their conjunction"
        yield from (self._existential(named) for named in theory.existentials[theory.existentials_of_system :])
        by_name: dict[str, Lemma] = {lemma.name: lemma for lemma in theory.lemmas}
        for part in theory.parts:
            lemma = by_name.pop(part.lemma, None)
            if lemma is not None:
                yield from says(lemma)
            yield self._clause("lemma", Clause(f"lemma {part.name}", part.variables, part.body))

    def proofs(self, uses: Uses) -> Iterator[str]:
        """For each step, the instances that prove it."""
        yield ""
        yield "; ---- which instances of these clauses prove each step: a clause, and what stands for its variables"
        for step, instances in uses.items():
            said = " ".join(f"({' '.join((symbol(clause), *arguments))})" for clause, arguments in instances)
            yield f"(set-info :uses ({symbol(step)} {said}))"

    def start(self, start: InitialState | None) -> Iterator[str]:
        """An initial state, if there is one."""
        if start is not None:
            yield ""
            yield "; ---- an initial state: how many elements each sort has, and the values of each function for all its arguments in order"
            yield from start.lines(self.system, self.elements)

    def known(self, uses: Uses) -> Uses:
        """See `fitting`."""
        theory = self._theory
        lasting = {*theory.clauses, *theory.initially}
        result = {}
        for step, instances in uses.items():
            if step != INITIALLY and step not in theory.actions:
                continue
            action = theory.actions.get(step)
            clauses = lasting if action is None else {*lasting, *theory.following(action).clauses}
            names = {*self.closed.names.values(), *OPERATORS, *({} if action is None else parameters(action)).values()}
            result[step] = tuple(
                (clause, arguments)
                for clause, arguments in instances
                if clause in clauses and all(token in names or token.startswith("$") for x in arguments for token in tokens(read(x)))
            )
        return result

    def uses(self, step: str, instances: Iterable[Instance]) -> tuple[Use, ...]:
        """Instances as text."""
        action = self._theory.actions.get(step)
        own = {} if action is None else parameters(action)
        found: dict[Use, None] = {}
        for instance in instances:
            found[instance.clause.name, tuple(self.closed(x, own) for x in instance.arguments)] = None
        return tuple(found)

    def _clause(self, kind: str, clause: Clause) -> str:
        number = clause.name.removeprefix(f"{kind} ")
        return definition(part_name(kind, number), (), "Bool", self._quantified("forall", clause.variables, clause.body))

    def _existential(self, named: Existential) -> str:
        own = _variables(named.variables)
        body = self._quantified("exists", named.bound, named.body, {x: x for x, _ in own})
        return definition(symbol(named.name), own, "Bool", body)

    def _quantified(self, word: str, bound: Sequence[z3.ExprRef], body: z3.BoolRef, around: Mapping[str, str] | None = None) -> str:
        own = _variables(bound)
        text = self.closed(body, {**(around or {}), **{x: x for x, _ in own}})
        return f"({word} ({' '.join(f'({x} {s})' for x, s in own)}) {text})" if own else text


def _variables(constants: Sequence[z3.ExprRef]) -> list[tuple[str, str]]:
    return [(x.decl().name(), sort_text(x.sort())) for x in constants]
