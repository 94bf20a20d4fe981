"""What is true of some elements at a small size, said of all: clauses over bits become candidates for lemmas.

Pages, devices and threads are alike: what PDR finds out about page 0 and thread 1 holds of any page and any thread that are related as
these are. So a cube is read as a pattern: the elements that it mentions become variables, and how they are related (that they differ,
which of them a function that never changes maps to which) becomes its premise. Of the premise is left out what the small size shows to be
unnecessary: elements that are related otherwise satisfy the clause, too. A candidate may be wrong at a larger size; it is a question, not
an answer.

After McMillan, Padon: Deductive Verification in Decidable Fragments with Ivy, SAS 2018, and Goel, Sakallah: On Symmetry and
Quantification, NFM 2021, which generalise clauses over the symmetric domains of a protocol.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import z3

from ...core.ground import Cell
from ...core.shape import subterms
from ...core.sorts import Geometry, Kind, Rigid, Sort, Truth, Word, element_index
from ...core.system import TransitionSystem
from ..circuits.circuit import Circuit, Latch
from ..circuits.sat import Clauses, Sat
from ..clock import Clock

SOLVER = "cadical153"
MOST = 8
"""A cube that leaves more combinations of elements open is not generalised: it is about how elements are numbered."""

ENOUGH = 20_000
"""A relation stays if there are more other elements than these to look at."""

Element = tuple[str, int]
"""An element of an index sort, by the sort's name and its number."""
Bits = tuple[tuple[int, bool], ...]
"""Known bits of a value, by their places."""


@dataclass(frozen=True)
class Pattern:
    """Cells, each with the bits that are known of its value; not all of them are as said in one reachable state.

    Args:
        cells: a cell of an index sort has one value, with all its bits.
    """

    cells: tuple[tuple[Cell, Bits], ...]

    @cached_property
    def elements(self) -> tuple[Element, ...]:
        """What it mentions of index sorts, in order."""
        found: dict[Element, None] = {}
        for cell, bits in self.cells:
            for sort, number in zip(cell.var.params, cell.index, strict=True):
                if not sort.elements:
                    found[sort.name, number] = None
            if _is_index(cell.var.kind):
                found[_sort_name(cell.var.kind), _number(bits)] = None
        return tuple(found)

    @property
    def key(self) -> object:
        """The same for patterns that differ in the numbers of elements alone."""
        by_sort: dict[str, list[int]] = {}
        for sort, number in self.elements:
            by_sort.setdefault(sort, []).append(number)
        choices = [[dict(zip(own, p, strict=True)) for p in itertools.permutations(range(len(own)))] for own in by_sort.values()]
        return min(self._renamed(dict(zip(by_sort, chosen, strict=True))) for chosen in itertools.product(*choices))

    def _renamed(self, to: Mapping[str, Mapping[int, int]]) -> tuple[object, ...]:
        found = []
        for cell, bits in self.cells:
            index = tuple(n if s.elements else to[s.name][n] for s, n in zip(cell.var.params, cell.index, strict=True))
            value = to[_sort_name(cell.var.kind)][_number(bits)] if _is_index(cell.var.kind) else -1
            found.append((cell.var.name, index, value, () if value >= 0 else bits))
        return tuple(sorted(found))


def _is_index(kind: Kind) -> bool:
    return isinstance(kind, Sort) and not kind.elements


def _sort_name(kind: Kind) -> str:
    assert isinstance(kind, Sort)
    return kind.name


def _number(bits: Bits) -> int:
    return sum(value << place for place, value in bits)


def patterns(cube: Iterable[tuple[Latch, bool]], geometry: Geometry) -> list[Pattern]:
    """A cube over bits as patterns; none where it is about how elements are numbered, or about what comes before the initial state."""
    known: dict[Cell, dict[int, bool]] = {}
    for latch, value in cube:
        if latch.cell is not None:
            known.setdefault(latch.cell, {})[latch.bit] = value
        elif not value:
            return []
    fixed: list[tuple[Cell, Bits]] = []
    several: list[list[tuple[Cell, Bits]]] = []
    for cell, bits in sorted(known.items(), key=lambda pair: pair[0].name):
        kind = cell.var.kind
        if isinstance(kind, Word):
            return []
        if isinstance(kind, Sort) and not kind.elements:
            width = geometry.width(kind)
            several.append([(cell, _bits(n, width)) for n in range(geometry.size(kind)) if _fits(n, tuple(bits.items()))])
        else:
            fixed.append((cell, tuple(sorted(bits.items()))))
    combinations = list(itertools.islice(itertools.product(*several), MOST + 1))
    return [] if len(combinations) > MOST else [Pattern((*fixed, *chosen)) for chosen in combinations]


def _bits(number: int, width: int) -> Bits:
    return tuple((place, bool(number >> place & 1)) for place in range(width))


def _fits(number: int, bits: Bits) -> bool:
    return all(bool(number >> place & 1) == value for place, value in bits)


@dataclass(frozen=True)
class Saying:
    """A formula, and the words for it."""

    term: z3.BoolRef
    words: str


@dataclass(frozen=True)
class Relation:
    """How elements are related.

    Args:
        saying: said of the variables that stand for them.
        over: which elements they are.
        holds: whether it is true of others in their place, by the elements whose places they take.
    """

    saying: Saying
    over: tuple[Element, ...]
    holds: Callable[[Mapping[Element, int]], bool]


class Generaliser:
    """Makes candidates of what is inductive at one size.

    Args:
        made: a circuit whose formulas `also` are inductive together with the complement of `cubes`.
    """

    def __init__(self, made: Circuit, cubes: Iterable[Iterable[tuple[Latch, bool]]], clock: Clock) -> None:
        self._system, self._geometry = made.grounded.system, made.grounded.geometry
        clauses = Clauses(made.aig, [latch.node for latch in made.latches], made.also)
        self._of = {(latch.cell, latch.bit): number for number, latch in enumerate(made.latches, 1)}
        number = {latch.node: n for n, latch in enumerate(made.latches, 1)}
        known = [[clauses.literal(x)] for x in made.also]
        known += [[-number[latch.node] if value else number[latch.node] for latch, value in cube] for cube in cubes]
        if made.starts_late:
            known.append([len(made.latches)])
        self._sat = Sat(SOLVER, [*clauses.clauses, *known], clock)
        self._named = _named(self._system)
        self._ruled_out: dict[frozenset[int], bool] = {}

    def candidates(self, found: Iterable[Pattern]) -> Iterator[tuple[Saying, ...]]:
        """For each pattern, once, its clause with as little premise as possible and, if that is another one, with all of it.

        There is none of a pattern that other elements show to be wrong, which are related as those that it mentions.
        """
        seen = set()
        for pattern in found:
            if pattern.key in seen:
                continue
            seen.add(pattern.key)
            names = self._names(pattern)
            related = list(self._related(names))
            if not self._excludes(pattern, related, frozenset(), None):
                continue
            needed = self._needed(pattern, related)
            told = {cell: self._told(cell, bits) for cell, bits in pattern.cells if isinstance(cell.var.kind, Sort)}
            short = _clause(pattern, names, [x.saying for x in needed], told)
            yield (short,) if len(needed) == len(related) else (short, _clause(pattern, names, [x.saying for x in related], told))

    def _needed(self, pattern: Pattern, related: Sequence[Relation]) -> list[Relation]:
        """The relations without which some elements would not satisfy the clause; the first ones are left out first."""
        dropped: frozenset[int] = frozenset()
        for number in range(len(related)):
            if self._excludes(pattern, related, dropped, number):
                dropped |= {number}
        return [x for number, x in enumerate(related) if number not in dropped]

    def _excludes(self, pattern: Pattern, related: Sequence[Relation], free: frozenset[int], broken: int | None) -> bool:
        """Whether no state is known to be possible that has the pattern with any other elements in their places (see `_others`)."""
        others = itertools.islice(self._others(pattern.elements, related, free, broken), ENOUGH)
        return all(tried < ENOUGH - 1 and self._impossible(pattern, to) for tried, to in enumerate(others))

    def _others(
        self, elements: Sequence[Element], related: Sequence[Relation], free: frozenset[int], broken: int | None
    ) -> Iterator[dict[Element, int]]:
        """All elements that can take the places of these: one relation, if it is given, does not hold, some may or may not, others hold."""
        last = [max((elements.index(x) for x in relation.over), default=0) for relation in related]
        checks = [[n for n, place in enumerate(last) if place == depth and n not in free] for depth in range(len(elements))]

        def extended(to: dict[Element, int], depth: int) -> Iterator[dict[Element, int]]:
            if depth == len(elements):
                yield dict(to)
                return
            element = elements[depth]
            for number in range(self._geometry.size(self._system.sort_by_name[element[0]])):
                to[element] = number
                if all(related[n].holds(to) != (n == broken) for n in checks[depth]):
                    yield from extended(to, depth + 1)
            del to[element]

        return extended({}, 0)

    def _impossible(self, pattern: Pattern, to: Mapping[Element, int]) -> bool:
        """Whether a pattern with other elements in their places is in no state that is known to be possible."""
        literals: set[int] = set()
        for cell, bits in pattern.cells:
            index = tuple(n if s.elements else to[s.name, n] for s, n in zip(cell.var.params, cell.index, strict=True))
            if _is_index(cell.var.kind):
                bits = _bits(to[_sort_name(cell.var.kind), _number(bits)], len(bits))
            for place, value in bits:
                number = self._of.get((Cell(cell.var, index), place))
                if number is not None:  # nothing is known of what the circuit does not have
                    literals.add(number if value else -number)
        if any(-x in literals for x in literals):
            return True
        key = frozenset(literals)
        if key not in self._ruled_out:
            self._ruled_out[key] = not self._sat.ask(sorted(literals))
        return self._ruled_out[key]

    def _told(self, cell: Cell, bits: Bits) -> tuple[int, ...]:
        """Of the values that have these bits, those that the cell can have: of the others, a reader need not know."""
        size = self._geometry.size(cell.var.kind)
        values = [n for n in range(size) if _fits(n, bits)]
        can = []
        for n in values:
            literals = [self._of[cell, p] if v else -self._of[cell, p] for p, v in _bits(n, size.bit_length()) if (cell, p) in self._of]
            if self._sat.ask(literals):
                can.append(n)
        return tuple(can or values)

    def _names(self, pattern: Pattern) -> dict[Element, z3.ExprRef]:
        names: dict[Element, z3.ExprRef] = {}
        for sort, number in pattern.elements:
            count = sum(1 for s, _ in names if s == sort)
            names[sort, number] = self._system.sort_by_name[sort].const(f"{sort.lower()}{count}")
        return names

    def _related(self, names: Mapping[Element, z3.ExprRef]) -> Iterator[Relation]:
        """How elements are related; what is to be left out first, if it can be, comes first."""
        for rigid in reversed(self._system.rigids):  # the later ones are made of the first
            if all(_is_index(kind) for kind in rigid.params) and not isinstance(rigid.kind, Word):
                yield from _facts(rigid, self._geometry, names)
        for element, name in names.items():
            for known, constant in self._named.get(element[0], {}).items():
                yield _relation(name, constant, f"{element[0].lower()} {known}", (element,), element[1] == known, _is(element, known))
        for one, other in itertools.combinations(names, 2):
            if one[0] == other[0]:
                yield _relation(names[one], names[other], str(names[other]), (one, other), False, _same(one, other))


def _is(element: Element, number: int) -> Callable[[Mapping[Element, int]], bool]:
    return lambda to: to[element] == number


def _same(one: Element, other: Element) -> Callable[[Mapping[Element, int]], bool]:
    return lambda to: to[one] == to[other]


def _relation(
    left: z3.ExprRef, right: z3.ExprRef, words: str, over: tuple[Element, ...], truth: bool, equal: Callable[[Mapping[Element, int]], bool]
) -> Relation:
    """That two terms are equal, or that they are not, as is `truth`."""
    if truth:
        return Relation(Saying(left == right, f"{left} is {words}"), over, equal)
    return Relation(Saying(left != right, f"{left} is not {words}"), over, lambda to: not equal(to))


def _named(system: TransitionSystem) -> dict[str, dict[int, z3.ExprRef]]:
    """The elements of index sorts that the system itself tells from others, by sort and number."""
    found: dict[str, dict[int, z3.ExprRef]] = {}
    terms = [system.constraint, *(u.value for u in system.init)]
    for action in system.actions:
        terms += [action.guard, *(u.value for u in action.updates)]
    for term in terms:
        for node in subterms(term):
            number = element_index(node)
            if number is not None and not system.sort_by_name[node.sort().name()].elements:
                found.setdefault(node.sort().name(), {})[number] = node
    return found


def _facts(rigid: Rigid, geometry: Geometry, names: Mapping[Element, z3.ExprRef]) -> Iterator[Relation]:
    """What a function that never changes says of elements."""
    sorts = [_sort_name(kind) for kind in rigid.params]
    choices = [[(s, n) for s, n in names if s == sort] for sort in sorts]

    def value(at: Sequence[Element]) -> Callable[[Mapping[Element, int]], int]:
        return lambda to: int(rigid.meaning(geometry, tuple(to[x] for x in at)))

    images: list[tuple[z3.ExprRef, tuple[Element, ...], Callable[[Mapping[Element, int]], int], int]] = []
    here = {element: element[1] for element in names}
    for at in itertools.product(*choices):
        term, image = rigid(*(names[x] for x in at)), value(at)
        now = image(here)
        if isinstance(rigid.kind, Truth):
            yield Relation(Saying(term, f"{term}") if now else Saying(z3.Not(term), f"not {term}"), at, _equals(image, now))
        elif _is_index(rigid.kind):
            target = (_sort_name(rigid.kind), now)
            if target in names:
                yield _relation(term, names[target], str(names[target]), (*at, target), True, _maps(image, target))
            else:
                images.append((term, at, image, now))
        else:
            assert isinstance(rigid.kind, Sort)
            yield _relation(term, rigid.kind.element(now), rigid.kind.show(now), at, True, _equals(image, now))
    for (one, here_, first, a), (other, there, second, b) in itertools.combinations(images, 2):
        yield _relation(one, other, str(other), (*here_, *there), a == b, _agree(first, second))


def _equals(image: Callable[[Mapping[Element, int]], int], value: int) -> Callable[[Mapping[Element, int]], bool]:
    return lambda to: image(to) == value


def _maps(image: Callable[[Mapping[Element, int]], int], target: Element) -> Callable[[Mapping[Element, int]], bool]:
    return lambda to: image(to) == to[target]


def _agree(
    one: Callable[[Mapping[Element, int]], int], other: Callable[[Mapping[Element, int]], int]
) -> Callable[[Mapping[Element, int]], bool]:
    return lambda to: one(to) == other(to)


def _clause(pattern: Pattern, names: Mapping[Element, z3.ExprRef], premise: Sequence[Saying], told: Mapping[Cell, Sequence[int]]) -> Saying:
    """That, where the premise holds, the cells are not all as the pattern says."""
    had = [_has(cell, bits, names, told.get(cell, ())) for cell, bits in pattern.cells]
    body = z3.Or([z3.Not(x.term) for x in (*premise, *had)])
    used = list(names.values())
    about = f"For any {', '.join(map(str, used))}" if used else ""
    given = f" where {' and '.join(x.words for x in premise)}" if premise else ""
    never = f"never {' and '.join(x.words for x in had)}."
    if len(had) == 1 and had[0].words.startswith("not "):
        never = f"always {had[0].words[4:]}."
    said = f"{about}{given}: {never}" if about or given else never.capitalize()
    # A variable of which it is said what it equals is none: fewer instances for whoever grounds it.
    return Saying(z3.Tactic("der")(z3.ForAll(used, body)).as_expr() if used else body, said)


def _has(cell: Cell, bits: Bits, names: Mapping[Element, z3.ExprRef], told: Sequence[int]) -> Saying:
    """That a cell's value has these bits; in words, that it is one of those that are told."""
    at = [s.element(n) if s.elements else names[s.name, n] for s, n in zip(cell.var.params, cell.index, strict=True)]
    shown = [s.show(n) if s.elements else str(names[s.name, n]) for s, n in zip(cell.var.params, cell.index, strict=True)]
    term, kind = cell.var(*at), cell.var.kind
    words = f"{cell.var.name}({', '.join(shown)})" if shown else cell.var.name
    if isinstance(kind, Truth):
        return Saying(term, words) if bits[0][1] else Saying(z3.Not(term), f"not {words}")
    assert isinstance(kind, Sort)
    if not kind.elements:
        there = names[kind.name, _number(bits)]
        return Saying(term == there, f"{words} is {there}")
    formula = z3.Or([term == kind.element(n) for n in range(len(kind.elements)) if _fits(n, bits)])
    return Saying(formula, f"{words} is {' or '.join(map(kind.show, told))}")


__all__ = ["Generaliser", "Pattern", "Saying", "patterns"]
