"""What an instantiated certificate has to keep: questions without quantifiers, derived from its text alone.

Every clause of the file is "for all of these, that", where `that` has no quantifier inside; a quantifier that it needs has a name, and
two clauses say what the name means (`theory.py`). The state after a step is written by renaming each changed function to the definition
of its next value. A step keeps the invariant if some instances of the clauses, with its guard, contradict that a clause is wrong
afterwards. Which instances the file names is a hint and no more: they are made here, of clauses that are assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TypeAlias

from ..core.errors import InputError
from .afterwards import After, Occurrences, Term, simplified
from .clauses import Named, Universal, applied, binders, closed, named, universal, without_quantifier
from .obligations import INITIALLY, Certificate, Definition, Step
from .sexpr import Sexpr, name_of, read, symbol, tokens, write
from .sorting import Signature, SortError, Sorts, well_sorted

Use: TypeAlias = tuple[str, tuple[str, ...]]
"""A clause's name, and what stands for its variables, as SMT-LIB text."""

Uses: TypeAlias = dict[str, tuple[Use, ...]]
"""By step, the instances that prove it."""


class Instantiated:
    """The questions of one certificate.

    Raises:
        InputError: a clause has a quantifier inside, or two clauses give a variable's name to different sorts, or a clause is too long
            where every `let` is written out.
    """

    def __init__(self, found: Certificate) -> None:
        self._found = found
        self.named = {name: named(made) for name, made in found.some.items()}
        self.axioms = [universal(found.made[name]) for name in found.axioms]
        self.init = [universal(found.made[name]) for name in found.init]
        self.lemmas = {name: universal(made) for name, made in found.lemmas.items()}
        steps = found.steps.values()
        self._nexts = {x: without_quantifier(found.made[x]) for step in steps for x in step.following.values()}
        for step in steps:
            without_quantifier(found.made[step.guard])
        self._constants: dict[str, str] = {}
        for clause in self.lemmas.values():
            for x, sort in clause.variables:
                if self._constants.setdefault(x, sort) != sort:
                    elsewhere = self._constants[x]
                    raise InputError(
                        f"the certificate: {clause.name} has a variable {x} of sort {sort}; others have it of sort {elsewhere}"
                    )
        self._reach: dict[str, frozenset[str]] = {}
        for name, some in self.named.items():  # one may speak of those before it
            self._reach[name] = self._reached(some.body)
        self._mentions = {name: self._reached(clause.body) for name, clause in self.lemmas.items()}
        self._occurrences = {name: Occurrences(clause) for name, clause in self.lemmas.items()}
        self._terms = {name: Term.of(clause.body, self._found.functions.keys() | self.named.keys()) for name, clause in self.lemmas.items()}
        self._meanings = [m for some in self.named.values() for m in some.meanings(some.body)]
        self._known = {clause.name for clause in (*self.axioms, *self._meanings, *self.lemmas.values())}
        self._sorts = self._known_sorts()
        clauses = (*self.axioms, *self.init, *self._meanings, *self.lemmas.values())
        self._wanted = {clause.name: tuple(sort for _, sort in clause.variables) for clause in clauses}
        self._enumerations = {clause.name: elements for clause in self.axioms if (elements := self._distinct(clause))}
        self._elements = {x: name for name, elements in self._enumerations.items() for x in elements}

    def _known_sorts(self) -> Sorts:
        """What the terms of an instance may speak of in every step: the state, the clauses' variables, quantifiers and their witnesses."""
        sorts = Sorts(sorts=set(self._found.sorts))
        for name, (arguments, result) in self._found.functions.items():
            (listed,) = read(arguments)
            sorts.known[name] = tuple(write(sort) for sort in listed), result
        sorts.known |= {x: ((), sort) for x, sort in self._constants.items()}
        for some in self.named.values():
            sorts.known |= some.signatures()
        return sorts

    def _reached(self, body: Sexpr) -> frozenset[str]:
        """The functions and named quantifiers of which a term speaks, these looked into."""
        result: set[str] = set()
        for token in set(tokens(body)):
            if token in self.named:
                result |= {token, *self._reach[token]}
            elif token in self._found.functions:
                result.add(token)
        return frozenset(result)

    def declarations(self) -> Iterator[str]:
        """Sorts, functions, parameters and named quantifiers."""
        found = self._found
        yield from (command for command, name in zip(found.commands, found.names, strict=True) if name not in found.made)
        for some in self.named.values():
            yield from some.declarations().values()

    def base(self) -> Iterator[str]:
        """What every question needs: declarations, clauses as predicates, and a constant for each variable of a clause."""
        yield from self.declarations()
        yield from (f"(declare-fun {x} () {sort})" for x, sort in self._constants.items())
        yield from (clause.macro for clause in (*self.axioms, *self.init, *self._meanings, *self.lemmas.values()))
        yield from (f"(assert {name})" for name in self._closed if name not in self._enumerations)
        for name, elements in self._enumerations.items():
            yield from self._apart(name, elements)

    @cached_property
    def _closed(self) -> list[str]:
        """The axioms that are no clause about everything, but a fact."""
        return [clause.name for clause in self.axioms if not clause.variables]

    def _distinct(self, clause: Universal) -> list[str]:
        """The elements of a sort that an axiom says are different, if that is what it says."""
        match clause.body:
            case ["distinct", *elements] if not clause.variables:
                constants = [x for x in elements if isinstance(x, str) and self._found.functions.get(x, ("",))[0] == "()"]
                return constants if len(constants) == len(elements) else []
            case _:
                return []

    def _apart(self, axiom: str, elements: Sequence[str]) -> Iterator[str]:
        """That elements are different, said by numbering them in binary: cvc5 is slow where many are said to be `distinct`.

        The bits are new functions, which can have these values wherever the elements are different, and nowhere else.
        """
        sort = self._found.functions[elements[0]][1]
        for place in range((len(elements) - 1).bit_length()):
            bit = symbol(f"bit {place} of {name_of(axiom)}")
            yield f"(declare-fun {bit} ({sort}) Bool)"
            yield from (
                f"(assert ({bit} {x}))" if number >> place & 1 else f"(assert (not ({bit} {x})))" for number, x in enumerate(elements)
            )

    def initially(self) -> tuple[list[str], list[str], dict[str, str]]:
        """No declarations; what is to be asserted of an initial state; and by clause, what says that it is wrong there."""
        known = [*self.axioms, *self.init, *self._meanings]
        facts = [clause.name for clause in self.init if not clause.variables]
        goals = {name: f"(not {write(clause.body)})" for name, clause in self.lemmas.items()}
        return [], [*facts, *self._used(INITIALLY, {clause.name for clause in known}, {}, ())], goals

    def step(self, step: Step) -> tuple[list[str], list[str], dict[str, str]]:
        """Declarations for a step; what is to be asserted of it; and by clause, what says that the clause is wrong afterwards."""
        touched = [some for some in self.named.values() if self._reach[some.name] & step.following.keys()]
        after = After(self._found, self._nexts, step, touched)
        own: dict[str, Signature] = {x: ((), sort) for x, sort in step.parameters.items()}
        own |= {name: signature for some in touched for name, signature in some.signatures("'").items()}
        known = [step.guard, *self._used(step.name, self._known | after.meanings, own, touched)]
        goals = {}
        for name, clause in self.lemmas.items():
            changed = self._mentions[name] & after.changed
            if changed:
                goal = self._goal(clause, changed, after)
                if goal:
                    goals[name] = goal
        after.speaks.update(token for use in self._found.uses.get(step.name, ()) for token in tokens(use))
        return list(after.declarations()), known, goals

    def _goal(self, clause: Universal, changed: frozenset[str], after: After) -> str:
        """That a clause is right before a step and wrong after it; empty if that is seen not to be so.

        Where a step changes functions only for whoever acts, and a clause speaks of them only for its own variables, the clause is
        afterwards what it was unless one of these variables is the one who acts; nor is it wrong for who then stands where the clause
        says nothing. Who is known to act, or not to, is written so: what the step does for the others need not be asked.
        """
        actor, others, possible = self._asked(clause, changed, after)
        if possible is not None and not possible:
            return ""
        mine = possible[0] if possible is not None and len(possible) == 1 else ""
        wrong = self._afterwards(self._terms[clause.name], after, mine, others)
        if wrong == "true":
            return ""
        said = [] if possible is None else [either([f"(= {x} {actor})" for x in possible])]
        said += [f"(not (= {x} {actor}))" for x in others]
        return f"(and {' '.join(said)} {write(applied(clause.name, [x for x, _ in clause.variables]))} (not {wrong}))"

    def _asked(self, clause: Universal, changed: frozenset[str], after: After) -> tuple[str, list[str], list[str] | None]:
        """Who acts; which variables of a clause cannot be that one if it is wrong afterwards; and which must be, None if none need be."""
        seen = self._occurrences[clause.name]
        actor, at = after.actor(changed)
        if not actor:
            return "", [], None
        others = [x for x, asked in seen.guards.items() if self._elsewhere(asked, actor, after)]
        if at is None:
            return actor, others, None
        possible: set[str] = set()
        for f, place in at:
            variables = seen.at(f, place)
            if variables is None:
                return actor, others, None
            possible |= variables
        if not after.touched.keys().isdisjoint(self._mentions[clause.name]):
            return actor, others, None
        return actor, others, sorted(possible.difference(others))

    def _elsewhere(self, asked: Mapping[str, Sequence[str]], actor: str, after: After) -> bool:
        """Whether who acts stands, after the step, at none of the places that a clause asks of one of its variables."""
        for function, values in asked.items():
            mine = after.own.get(function)
            if mine is None or not mine.value or mine.actor != actor:
                continue
            for value in values:
                if not self._differ(mine.value, value):
                    break
            else:
                return True
        return False

    def _afterwards(self, term: Term, after: After, mine: str, others: Sequence[str]) -> str:
        """A term as it reads after a step, folded where it is known that `mine` is the one who acts, and `others` are not."""
        if term.speaks.isdisjoint(after.names):
            return term.text
        if not term.parts:
            return after.name(term.text)
        head, *rest = term.parts
        own = after.own.get(head.text)
        place = rest[own.place].text if own is not None and own.place < len(rest) else ""
        if own is not None and own.value and place and place == mine:
            return own.value
        word = head.text if place in others else self._afterwards(head, after, mine, others)
        return self._folded(word, [self._afterwards(part, after, mine, others) for part in rest])

    def _folded(self, word: str, parts: Sequence[str]) -> str:
        match word, parts:
            case "=", [one, other] if self._differ(one, other):
                return "false"
            case "=", [one, other] if one == other:
                return "true"
        folded = simplified([word, *parts])
        return folded if isinstance(folded, str) else f"({' '.join(map(str, folded))})"

    def _differ(self, one: str, other: str) -> bool:
        return one != other and one in self._elements and self._elements[one] == self._elements.get(other)

    def _used(self, step: str, known: set[str], own: Mapping[str, Signature], touched: Sequence[Named]) -> list[str]:
        """The instances that the file names for a step, as far as they are instances of what is known there.

        Args:
            own: what terms may speak of in this step alone.
            touched: the named quantifiers that may change in it.

        Raises:
            InputError: one is of anything else, or its terms have not the sorts of the clause's variables.
        """
        result = []
        self._sorts.own = own
        wanted = self._wanted | {name: sorts for some in touched for name, sorts in some.meaning_sorts("'")}
        for use in self._found.uses.get(step, ()):
            head, *terms = use
            if not isinstance(head, str) or head not in known:
                raise InputError(f"the certificate: the proof of {step} uses {write(use)[:60]}, which is no clause that is known there")
            well_sorted("the certificate", f"the proof of {step}: {write(use)[:60]}", partial(self._fits, terms, wanted[head]))
            if head not in self._closed:  # it is asserted of every state
                result.append(write(use) if terms else head)
        return result

    def _fits(self, terms: Sequence[Sexpr], sorts: Sequence[str]) -> None:
        if len(terms) != len(sorts):
            raise SortError(f"has {len(terms)} terms, and the clause has {len(sorts)} variables")
        for term, sort in zip(terms, sorts, strict=True):
            self._sorts.check(term, sort)

    def safety(self, prop: Definition) -> list[str]:
        """The clauses that say a property, closed, and what the quantifiers in them mean."""
        prefix = f"lemma {name_of(prop.name).partition(' ')[2]}/"
        clauses = [clause for name, clause in self.lemmas.items() if name_of(name).startswith(prefix)]
        reached = {x for clause in clauses for x in self._mentions[clause.name]}
        meanings = [self._meaning(some) for name, some in self.named.items() if name in reached]
        return [*meanings, *(closed("forall", clause.variables, clause.body) for clause in clauses)]

    @staticmethod
    def _meaning(some: Named) -> str:
        atom = write(applied(some.name, [x for x, _ in some.variables]))
        same = f"(= {atom} {closed('exists', some.bound, some.body)})"
        return f"(forall ({binders(some.variables)}) {same})" if some.variables else same


def either(terms: Sequence[str]) -> str:
    """One of some terms."""
    return f"(or {' '.join(terms)})" if len(terms) > 1 else terms[0]


__all__ = ["Instantiated", "Use", "Uses", "either"]
