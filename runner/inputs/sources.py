"""Where kernel C comes from: the shipped files or a kernel tree, as they are or changed in memory. One place decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from ...core.errors import InputError
from ...kernelc.sources.tree import KernelTree, open_tree
from ...model.change.marks import mark
from ...model.lift import versions
from ...model.lift.lift import lifted_code
from ...model.scenario import Scenario
from ...model.system import Code, KernelSource, Model, build, designs, parse_source, shipped_source
from ..names import unknown
from .designs import Design

Files = Mapping[str, str]
"""File names to text. Shipped: those of all designs, a design's own as `design/file.c`. Of a tree: its paths."""


class TreeFiles(Mapping[str, str]):
    """The files of a kernel tree: any can be looked up, those that functions are lifted from are listed."""

    def __init__(self, tree: KernelTree) -> None:
        self._tree = tree
        self._read = cache(self._text)

    def _text(self, name: str) -> str | None:
        try:
            return self._tree.read(name)
        except InputError:
            return None

    def __getitem__(self, name: str) -> str:
        text = self._read(name)
        if text is None:
            raise KeyError(name)
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(versions.files_of(self._tree))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Layer(Mapping[str, str]):
    """Files with some of them changed, added or deleted.

    Args:
        elsewhere: files that are looked up, and not listed.
    """

    def __init__(self, below: Files, changed: Files, deleted: Iterable[str], elsewhere: Files = MappingProxyType({})) -> None:
        self._below = below
        self._changed = dict(changed)
        self._elsewhere = dict(elsewhere)
        self._deleted = frozenset(deleted) - frozenset(changed)

    def __getitem__(self, name: str) -> str:
        if name in self._deleted:
            raise KeyError(name)
        if name in self._changed:
            return self._changed[name]
        return self._elsewhere[name] if name in self._elsewhere else self._below[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in dict.fromkeys((*self._below, *self._changed)) if name not in self._deleted)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def kernel_given(path: str | None, rev: str | None, progress: Callable[[str], None] | None = None) -> KernelTree | None:
    """The tree that the user named.

    Raises:
        InputError: a revision without a tree, or what is named is no kernel tree.
    """
    if path is None and rev is not None:
        raise InputError("--rev says which revision of a kernel tree is meant; give the tree with --kernel DIR")
    return None if path is None else open_tree(path, rev, progress)


def files_of(kernel: KernelTree | None, design: Design | None = None) -> Files:
    """What a change is applied to: the files of the tree, or the kernel C of all shipped designs and of those that the user gave.

    Raises:
        InputError: a tree and a design are given: functions of a tree run as they are.
    """
    if kernel is not None:
        if design is not None:
            raise InputError("--design overrides functions of our kernel C, and --kernel runs those of a tree; give one of them")
        return TreeFiles(kernel)
    files: dict[str, str] = {}
    for name in designs():
        files |= shipped_source(name).files
    return files if design is None else {**files, **design.files}


def from_outside(files: Files) -> tuple[str, ...]:
    """The names of the designs among these files that do not come with the tool; of a tree there are none."""
    folders = (name.partition("/")[0] for name in files if name.count("/") == 1)
    return tuple(name for name in dict.fromkeys(folders) if name not in designs())


def code_for(scenario: Scenario, kernel: KernelTree | None, files: Files) -> Code:
    """The parsed kernel C of a scenario: its design's files among `files`, or functions lifted from `kernel` as `files` has it.

    Raises:
        InputError: there is no such design, or it needs a tree (or cannot use one).
        Refusal: a file that is no C.
    """
    if scenario.needs_kernel:
        if kernel is None:
            raise InputError(f"scenario {scenario.name} runs functions of a kernel tree; give one with --kernel DIR")
        return _lifted(kernel, tuple((name, files[name]) for name in files))
    if kernel is not None:
        raise InputError(f"scenario {scenario.name} runs our kernel C, not functions of {kernel.origin}; leave --kernel out")
    known = (*designs(), *from_outside(files))
    if scenario.design not in known:
        what = f"{unknown(scenario.design, known, 'design')}; one of your own is given with --design DIR"
        raise InputError(f"scenario {scenario.name}: {what}")
    own = {n: files[n] for n in files if "/" not in n}  # those of the design come last, and take the place of the shipped ones
    own |= {n: files[n] for n in files if "/" in n and n.partition("/")[0] == scenario.design}
    return _parsed(scenario.design, tuple(own.items()))


@cache
def _lifted(kernel: KernelTree, files: tuple[tuple[str, str], ...]) -> Code:
    # The text that the tree has must not stand for what a change deletes: that nobody would run.
    texts = dict(files)
    gone = [path for path in versions.files_of(kernel) if path not in texts]
    if gone:
        why = "functions are lifted from there, and what takes their place is in no file that is"
        raise InputError(f"{', '.join(gone)}: the change deletes this, {why}; leave it in, or check the rest alone")
    return lifted_code(kernel, texts)


@cache
def _parsed(design: str, files: tuple[tuple[str, str], ...]) -> Code:
    return parse_source(KernelSource(design, dict(files)))


@dataclass(frozen=True)
class Built:
    """A model, and the code that it was made from."""

    model: Model
    code: Code


def built(scenario: Scenario, kernel: KernelTree | None, files: Files, touched: Mapping[str, Iterable[float]] | None = None) -> Built:
    """Build a scenario's model; in `touched` lines (by file) each statement can be told apart, see `account.mark`."""
    code = code_for(scenario, kernel, files)
    if touched:
        code = replace(code, functions=mark(code.functions, touched))
    return Built(build(scenario, code), code)
