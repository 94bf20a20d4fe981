"""And-inverter graphs: hash-consed, simplified as they grow, simulated on as many states at once as a number has bits.

A *literal* is twice the number of a node, plus one if it is inverted; node 0 is the constant false. So `FALSE` is 0, `TRUE` is 1,
and `literal ^ 1` is its negation, as in the AIGER format. Operators on bit-vectors take and give sequences of literals, the lowest
bit first.

Biere: The AIGER And-Inverter Graph (AIG) Format, 2007. Brummayer, Biere: Local Two-Level And-Inverter Graph Minimization without
Blowup, MEMICS 2006.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

FALSE, TRUE = 0, 1
Bits = tuple[int, ...]


class Aig:
    """A growing graph. A node is a leaf (a variable) or the conjunction of two literals of older nodes."""

    def __init__(self) -> None:
        self.fanins: list[tuple[int, int] | None] = [None]
        self._known: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.fanins)

    def leaf(self) -> int:
        """The literal of a new variable."""
        self.fanins.append(None)
        return 2 * len(self.fanins) - 2

    def both(self, a: int, b: int) -> int:
        """`a` and `b`."""
        if a > b:
            a, b = b, a
        if a in (FALSE, b ^ 1):
            return FALSE
        if a in (TRUE, b):
            return b
        simpler = self._two_levels(a, b)
        if simpler is not None:
            return simpler
        node = self._known.get((a, b))
        if node is None:
            node = self._known[a, b] = len(self.fanins)
            self.fanins.append((a, b))
        return 2 * node

    def _two_levels(self, a: int, b: int) -> int | None:
        """A smaller equal of `a and b` that shows when the conjunctions below are looked at."""
        for one, other in ((a, b), (b, a)):
            inside = self.fanins[one >> 1]
            if inside is None:
                continue
            x, y = inside
            if one & 1:
                if other in (x ^ 1, y ^ 1):  # not (x and y), and not x
                    return other
                if other in (x, y):  # not (x and y), and x: what is left is not y
                    return self.both(other, (y if other == x else x) ^ 1)
            elif other in inside:
                return one
            elif other ^ 1 in inside:
                return FALSE
        left, right = self.fanins[a >> 1], self.fanins[b >> 1]
        if left is not None and right is not None:
            if not a & 1 and not b & 1 and (left[0] ^ 1 in right or left[1] ^ 1 in right):
                return FALSE
            for one, inside, other, outside in ((a, left, b, right), (b, right, a, left)):
                if one & 1 and not other & 1 and (inside[0] ^ 1 in outside or inside[1] ^ 1 in outside):
                    return other  # not (x and y), and something that excludes x or y anyway
            if a & 1 and b & 1:  # not (x and y), and not (x and not y): not x
                for x, y in (left, left[::-1]):
                    if x in right and y ^ 1 in right:
                        return x ^ 1
        return None

    def either(self, a: int, b: int) -> int:
        """`a` or `b`."""
        return self.both(a ^ 1, b ^ 1) ^ 1

    def differ(self, a: int, b: int) -> int:
        """Exactly one of `a` and `b`."""
        return self.choose(a, b ^ 1, b)

    def choose(self, condition: int, then: int, otherwise: int) -> int:
        """`then` if `condition`, else `otherwise`."""
        if then == otherwise:
            return then
        if condition & 1:
            condition, then, otherwise = condition ^ 1, otherwise, then
        if then == condition:
            then = TRUE
        if otherwise == condition:
            otherwise = FALSE
        return self.either(self.both(condition, then), self.both(condition ^ 1, otherwise))

    def all(self, literals: Iterable[int]) -> int:
        """The conjunction of all, as a balanced tree over a sorted list: equal sets give the same node."""
        level = sorted(set(literals))
        while len(level) > 1:
            pairs = [self.both(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
            level = pairs + level[2 * len(pairs) :]
        return level[0] if level else TRUE

    def any(self, literals: Iterable[int]) -> int:
        """The disjunction of all."""
        return self.all(x ^ 1 for x in literals) ^ 1

    def conjuncts(self, literal: int, most: int = 1_000) -> frozenset[int]:
        """Literals, at most so many, whose conjunction is `literal`."""
        found: set[int] = set()
        todo = [literal]
        while todo:
            one = todo.pop()
            inside = None if one & 1 or len(found) + len(todo) >= most else self.fanins[one >> 1]
            if inside is None:
                found.add(one)
            else:
                todo += inside
        return frozenset(found)

    def equal(self, a: Sequence[int], b: Sequence[int]) -> int:
        """Two bit-vectors of one width are the same."""
        return self.all(self.differ(x, y) ^ 1 for x, y in zip(a, b, strict=True))

    def choose_bits(self, condition: int, then: Sequence[int], otherwise: Sequence[int]) -> Bits:
        """`choose`, bit by bit."""
        return tuple(self.choose(condition, x, y) for x, y in zip(then, otherwise, strict=True))

    def add(self, a: Sequence[int], b: Sequence[int], carry: int = FALSE) -> Bits:
        """The sum, modulo the width."""
        result = []
        for x, y in zip(a, b, strict=True):
            half = self.differ(x, y)
            result.append(self.differ(half, carry))
            carry = self.either(self.both(x, y), self.both(half, carry))
        return tuple(result)

    def subtract(self, a: Sequence[int], b: Sequence[int]) -> Bits:
        """The difference, modulo the width."""
        return self.add(a, [y ^ 1 for y in b], TRUE)

    def multiply(self, a: Sequence[int], b: Sequence[int]) -> Bits:
        """The product, modulo the width."""
        result: Bits = (FALSE,) * len(a)
        for place, bit in enumerate(b):
            shifted = [FALSE] * place + [self.both(bit, x) for x in a[: len(a) - place]]
            result = self.add(result, shifted)
        return result

    def divide(self, a: Sequence[int], b: Sequence[int]) -> tuple[Bits, Bits]:
        """Unsigned quotient and remainder; by zero they are all ones and `a`, as SMT-LIB has it."""
        wide = [*b, FALSE]
        rest: Bits = (FALSE,) * len(wide)
        quotient = []
        for bit in reversed(a):
            rest = (bit, *rest[:-1])
            fits = self.less(rest, wide) ^ 1
            rest = self.choose_bits(fits, self.subtract(rest, wide), rest)
            quotient.append(fits)
        return tuple(reversed(quotient)), rest[:-1]

    def less(self, a: Sequence[int], b: Sequence[int]) -> int:
        """`a < b`, unsigned."""
        result = FALSE
        for x, y in zip(a, b, strict=True):
            result = self.choose(self.differ(x, y), y, result)
        return result

    def shift(self, a: Sequence[int], by: Sequence[int], *, fill: int = FALSE, left: bool) -> Bits:
        """`a` moved by as many places as `by` says, with `fill` coming in from the side."""
        result = tuple(a)
        too_far = FALSE
        for place, bit in enumerate(by):
            if 1 << place >= len(a):
                too_far = self.either(too_far, bit)
                continue
            steps = (fill,) * (1 << place)
            moved = (*steps, *result[: -len(steps)]) if left else (*result[len(steps) :], *steps)
            result = self.choose_bits(bit, moved, result)
        return self.choose_bits(too_far, (fill,) * len(a), result)

    def cone(self, roots: Iterable[int]) -> list[int]:
        """The nodes below the literals, older ones first, without the constant."""
        seen: set[int] = set()
        todo = [root >> 1 for root in roots]
        while todo:
            node = todo.pop()
            if node in seen:
                continue
            seen.add(node)
            inside = self.fanins[node]
            if inside is not None:
                todo += (inside[0] >> 1, inside[1] >> 1)
        return sorted(seen - {0})

    def simulate(self, leaves: Mapping[int, int], roots: Sequence[int], mask: int = 1) -> list[int]:
        """The values of the roots; each bit below `mask` is a case of its own. Leaves are given by node."""
        value: dict[int, int] = {0: 0, **leaves}
        for node in self.cone(roots):
            inside = self.fanins[node]
            if inside is not None:
                a, b = inside
                x, y = value[a >> 1], value[b >> 1]
                value[node] = (x ^ mask if a & 1 else x) & (y ^ mask if b & 1 else y)
        return [value[root >> 1] ^ mask if root & 1 else value[root >> 1] for root in roots]

    def replace(self, leaves: Mapping[int, int], roots: Sequence[int]) -> list[int]:
        """The roots with literals put in for leaves (given by node), all at once."""
        return copy(self, self, leaves, roots)


def copy(source: Aig, target: Aig, leaves: Mapping[int, int], roots: Sequence[int]) -> list[int]:
    """The roots of `source` in `target`; a leaf that is not given stays what it is, which makes sense only where both are one graph."""
    image: dict[int, int] = {0: FALSE, **leaves}
    for node in source.cone(roots):
        inside = source.fanins[node]
        if node in image:
            continue
        if inside is None:
            image[node] = 2 * node
        else:
            a, b = inside
            image[node] = target.both(image[a >> 1] ^ a & 1, image[b >> 1] ^ b & 1)
    return [image[root >> 1] ^ root & 1 for root in roots]
