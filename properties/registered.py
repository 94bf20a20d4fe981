"""A property as it is registered: what it says, how its violation is found and told, what may repair it, and what its argument needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import z3

from ..core.sorts import StateVar
from ..core.system import Lemma, Property
from ..model.machine.spaces import SHARED, Spaces
from ..model.scene import Scene
from ..model.system import Model
from .repairs import Recipe
from .telling import Teller, Wrong

if TYPE_CHECKING:
    from .argument.setting import Setting  # it takes long to import, and only arguments need it


@dataclass(frozen=True)
class More:
    """What a property asks besides where an optional part of the machine is there.

    Args:
        var: a state variable of the part.
        holds: what it asks, where tables lie in these spaces.
        sentence: the whole property's then; '' where that stays as it is.
    """

    var: StateVar
    holds: Callable[[Spaces], z3.BoolRef]
    sentence: str = ""


@dataclass(frozen=True)
class Statement:
    """One of those of which a property consists in one model, a closed term; what is wrong where it is false.

    Args:
        shown_by: a state variable and what its index is called: the cells that alone make it false are named.
    """

    holds: z3.BoolRef
    sentence: str
    shown_by: tuple[StateVar, str]


@dataclass(frozen=True)
class Registered:
    """Everything that is said of one property.

    Args:
        prop: the statement, with its premise and where it comes from.
        find: the false instances in a state in which the property is false; where there is none, it is said to be false as a whole.
        tellers: who tells what happened; the first that has something to say does. Without one, it is told by the last step.
        repairs: edits of the kernel C that may mend it, in the order in which they are tried.
        wants_lock: taking mmu_lock for writing may mend it, too.
        loses: a false instance says for which `root` and `gfn` a walk no longer finds which `frame`; pictures show that.
        lemmas: the names of those lemmas of the argument that are told for this property alone.
        chapter: lemmas of its own, told after all others where it is asked.
        more: what it asks of optional parts of the machine, each only where its part is there.
        of_model: the property as it reads in one model, where it speaks of the program, or of who walks which roots.
        statements: those of which it consists in one model: the false ones are its false instances, if `find` finds none.
        every_size: whether the statement is one about any number of everything; else it is asked at one size alone.
    """

    prop: Property
    find: Callable[[Scene], Iterator[Wrong]] | None = None
    tellers: tuple[Teller, ...] = ()
    repairs: tuple[Recipe, ...] = ()
    wants_lock: bool = False
    loses: bool = False
    lemmas: tuple[str, ...] = ()
    chapter: Callable[[Setting], Iterator[Lemma]] | None = None
    more: tuple[More, ...] = ()
    of_model: Callable[[Model], Property] | None = None
    statements: Callable[[Model], Iterable[Statement]] | None = None
    every_size: bool = True

    def at(self, model: Model) -> Property:
        """The property as it reads in one model."""
        prop = self.prop if self.of_model is None else self.of_model(model)
        return self.among({var.name for var in model.system.state}, prop, model.spaces)

    def among(self, state: Collection[str], prop: Property | None = None, spaces: Spaces = SHARED) -> Property:
        """The property, or how else it reads, with what it asks where the machine has state variables of these names."""
        prop = prop or self.prop
        there = [more for more in self.more if more.var.name in state]
        if not there:
            return prop
        sentence = next((more.sentence for more in reversed(there) if more.sentence), prop.sentence)
        return replace(prop, holds=z3.And(prop.holds, *(more.holds(spaces) for more in there)), sentence=sentence)
