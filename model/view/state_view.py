"""One state of a model in plain values, asked by the variables and sorts that the machine declares.

There are no names here: who asks hands over the variable itself, so that one which is gone or misspelled is an error of Python, of the
types, or, in a document of another version, of the input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NoReturn, TypeAlias

from ...core.errors import InputError
from ...core.sorts import Geometry, Sort, StateVar
from .naming import cell, split_cell

Value: TypeAlias = bool | int | str
At: TypeAlias = tuple[int, ...]


class View:
    """The values of a state.

    Args:
        sizes: of the index sorts, by name.
        values: by cell; an element of an enumeration by its name.
        threads: what each thread is called.
        names: the elements of the enumerations that index something, by the sort's name.
    """

    def __init__(
        self, sizes: Mapping[str, int], values: Mapping[str, Value], threads: Sequence[str], names: Mapping[str, Sequence[str]]
    ) -> None:
        self.values = values
        self.threads = tuple(threads)
        self.geometry = Geometry(sizes)
        self._names = names

    def count(self, sort: Sort) -> int:
        """How many elements an index sort has here.

        Raises:
            InputError: this state knows nothing of the sort.
        """
        named = self._names.get(sort.name)
        if named is not None:
            return len(named)
        if sort.name in self.geometry.sizes:
            return self.geometry.sizes[sort.name]
        raise InputError(f"the document does not say how many there are of {sort.name}: another version of tdpcheck wrote it")

    def each(self, sort: Sort) -> range:
        return range(self.count(sort))

    def has(self, var: StateVar) -> bool:
        """Whether this state has a variable: one of an optional part of the machine is there only where a scenario asks for it."""
        return cell(var, *(0 for _ in var.params)) in self.values

    def is_set(self, var: StateVar, *index: int) -> bool:
        value = self._value(var, index)
        if not isinstance(value, bool):
            _misfit(var, index, value)
        return value

    def number(self, var: StateVar, *index: int) -> int:
        value = self._value(var, index)
        if not isinstance(value, int) or isinstance(value, bool):
            _misfit(var, index, value)
        if isinstance(var.kind, Sort) and not 0 <= value < self.count(var.kind):
            _misfit(var, index, value)
        return value

    def word(self, var: StateVar, *index: int) -> str:
        value = self._value(var, index)
        if not isinstance(value, str) or (isinstance(var.kind, Sort) and value not in var.kind.elements):
            _misfit(var, index, value)
        return value

    def _value(self, var: StateVar, index: At) -> Value:
        """The value of a cell.

        Raises:
            InputError: this state has no such cell.
        """
        name = cell(var, *index)
        if name not in self.values:
            raise InputError(f"the document does not say what {name} is: another version of tdpcheck wrote it")
        return self.values[name]

    def named(self, sort: Sort, number: int) -> str:
        """An element of an enumeration by its name."""
        known = self._names.get(sort.name, ())
        return known[number] if number < len(known) else f"{sort.name} {number}"

    def words(self, about: str) -> Sequence[str]:
        """What the model says besides of what is named so; nothing where it has nothing to say."""
        return self._names.get(about, ())

    def thread(self, thread: int) -> str:
        return self.threads[thread] if thread < len(self.threads) else f"thread {thread}"


def _misfit(var: StateVar, index: At, value: Value) -> NoReturn:
    raise InputError(f"the document says that {cell(var, *index)} is {value!r}, which it cannot be: another version of tdpcheck wrote it")


def indices(view: View, *sorts: Sort) -> Iterator[At]:
    """All indices of these sorts in a state."""
    return product(*(view.each(sort) for sort in sorts))


class Changed:
    """The cells that a step changed (or looked at), by variable and in the order in which they were given."""

    def __init__(self, cells: Sequence[str]) -> None:
        self._where: dict[str, list[At]] = defaultdict(list)
        for name in cells:
            var, index = split_cell(name)
            self._where[var].append(index)

    def at(self, var: StateVar) -> Sequence[At]:
        """Where one variable changed."""
        return self._where.get(var.name, ())

    def places(self, *variables: StateVar) -> list[At]:
        """Where any of these variables changed, in order."""
        return sorted({at for var in variables for at in self.at(var)})
