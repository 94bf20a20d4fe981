"""A property as it is registered: what it says, how its violation is found and told, what may repair it, and what its argument needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.system import Lemma, Property
from ..model.scene import Scene
from ..model.system import Model
from .repairs import Recipe
from .telling import Teller, Wrong

if TYPE_CHECKING:
    from .argument.setting import Setting  # it takes long to import, and only arguments need it


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
        of_model: the property as it reads in one model, where it speaks of the program, or of who walks which roots.
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
    of_model: Callable[[Model], Property] | None = None
    every_size: bool = True
