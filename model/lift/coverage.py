"""How much of a kernel tree is in the model: of each function of the files that matter, whether it runs as it stands, and else why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ...kernelc.sources.tree import KernelTree
from ...kernelc.text.spans import functions_at
from ..system import Code, graphs_of
from .lift import lifted_code, scenarios_of
from .meanings import meant_calls
from .versions import CONCERNED, Kernel, has, kernel_of

Fate = Literal["lifted", "ours", "intrinsic", "not modelled"]
FATES: tuple[Fate, ...] = ("lifted", "ours", "intrinsic", "not modelled")


@dataclass(frozen=True)
class Function:
    """One function of a tree.

    Args:
        fate: it runs as it stands in some scenario; one of ours runs in its place; it has a meaning without its body; or none of these.
        why: the scenarios, our file, the meaning, or the reason.
    """

    name: str
    line: int
    fate: Fate
    why: str


@dataclass(frozen=True)
class File:
    """A file of a tree, by its path, with its functions in their order."""

    path: str
    functions: tuple[Function, ...]

    def count(self, fate: Fate) -> int:
        """How many of its functions have this fate."""
        return sum(f.fate == fate for f in self.functions)


def coverage(tree: KernelTree, working: Callable[[str], None] = lambda what: None) -> tuple[File, ...]:
    """What becomes of the functions of a tree in the scenarios of its version.

    Args:
        working: is told what is done now.

    Raises:
        InputError: functions cannot be lifted from the tree.
    """
    kernel, code = kernel_of(tree), lifted_code(tree)
    entered: dict[str, list[str]] = {}
    for name, scenario in scenarios_of(tree).items():
        working(f"{name}: looking for what its threads call")
        for graph in graphs_of(scenario, code.at(scenario), plain=True):
            for called in graph.inlined:
                entered.setdefault(called, []).append(name.removeprefix(f"{scenario.design}-"))
    told = _Told(kernel, code, {called: tuple(dict.fromkeys(names)) for called, names in entered.items()})
    return tuple(
        File(path, tuple(told.function(path, name, first) for name, first, _ in functions_at(tree.read(path), path)))
        for path in CONCERNED
        if has(tree, path)
    )


class _Told:
    def __init__(self, kernel: Kernel, code: Code, entered: dict[str, tuple[str, ...]]) -> None:
        self._code = code
        self._entered = entered
        self._kernel = kernel
        self._meant = meant_calls(kernel)

    def function(self, path: str, name: str, line: int) -> Function:
        return Function(name, line, *self._fate(path, name))

    def _fate(self, path: str, name: str) -> tuple[Fate, str]:
        function, read = self._code.functions.get(name), path in self._kernel.version.lifted
        if name in self._meant:
            return "intrinsic", self._meant[name]
        if function is not None and name in self._entered:
            if function.at.file == path:
                return "lifted", f"runs in {', '.join(self._entered[name])}"
            return "ours", f"{function.at.file} has it in our words"
        if function is not None and function.at.file == path:
            return "not modelled", "no scenario calls it"
        if name in self._code.broken and read:
            return "not modelled", f"it cannot be read: {self._code.broken[name]}"
        return "not modelled", "no function of this file is lifted" if not read else "no scenario calls it"
