"""Functions lifted verbatim from a kernel tree, as code that scenarios can run.

What is lifted stands in three files of arch/x86/kvm/mmu/: everything that changes or walks the tables of the TDP MMU. The rest of
KVM, the locks, the flushes and the host's side are ours (`model/kernel/_lift-6.1/` and the files that the shared design shares with it), or
intrinsics. Nothing of a kernel tree is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from ...core.errors import InputError
from ...kernelc.errors import Refusal
from ...kernelc.lowering.library import Library
from ...kernelc.sources.tree import KernelTree
from ...kernelc.text import ast
from ...kernelc.text.parse import parse
from ...kernelc.text.same import is_renamed, is_same
from ..intrinsics import LIBRARY
from ..own_state import OwnState
from ..scenario import Scenario, shipped_scenarios
from ..system import KERNEL, Code, Sized
from .lists import reached, told_plainly, uses_field
from .meanings import MEANT, OWN, PLAIN, TRACE, library_for, meant_calls
from .numbers import numbers_told
from .signs import reader
from .versions import Kernel, has, kernel_of, macros_beside, version_of
from .words import Words, words_of

_CALL = re.compile(r"\b(\w+)\(")
_TRACEPOINT = re.compile(r"\btrace_\w+")


def lifted_code(tree: KernelTree, overlay: Mapping[str, str] | None = None) -> Code:
    """The code of a kernel tree with ours around it.

    Args:
        overlay: texts that take the place of the tree's files, by path: a proposed change, applied.

    Raises:
        InputError: the tree lacks a file, or its files lack a struct that they should define.
        Refusal: a file that is no C at all, or has something outside of its functions which is not understood.
    """
    kernel = kernel_of(tree, overlay)
    version, config = kernel.version, kernel.config
    changed = dict(overlay or {})

    def text(path: str) -> str:
        return changed[path] if path in changed else tree.read(path)

    texts = {path: text(path) for path in (*version.lifted, *version.headers)}
    for path in version.macros:
        if path in changed or has(tree, path):
            texts[path] = text(path)
    macros = {path: texts[path] for path in (version.iterator, *version.macros) if path in texts}
    functions: dict[str, ast.Function] = {}
    structs: dict[str, ast.Struct] = {}
    broken: dict[str, Exception] = {}
    unmodelled: dict[str, Exception] = {}
    for path in version.headers:
        unit = parse(texts[path], path, config=config)
        helpers = kernel.helpers.get(path, frozenset()) | _changed_helpers(tree, path, texts[path], unit, kernel)
        structs |= {name: struct for name, struct in unit.structs.items() if name in version.structs}
        functions |= {name: unit.functions[name] for name in helpers if name in unit.functions}
        broken |= {name: why for name, why in unit.broken.items() if name in (*helpers, *(f"struct {s}" for s in version.structs))}
    for path in version.lifted:
        unit = parse(texts[path], path, macros={p: t for p, t in macros.items() if p != path}, config=config)
        for refusal in unit.strange:
            raise refusal
        unmodelled |= unit.unmodelled
        functions |= unit.functions
        structs |= unit.structs
        broken |= unit.broken
    for name in version.structs:
        if name not in structs:
            why = broken.get(f"struct {name}")
            raise InputError(
                f"{tree.origin}: struct {name} is not defined where it is in Linux {version.name}"
                + (f" as far as can be read: {why}" if why else "; lifting needs such a tree")
            )
    lifted = tuple(f"{name} ({functions[name].at.file.rpartition('/')[2]})" for name in sorted(functions))
    ours = _ours(kernel)
    ours, lost = _followed(tree, ours, texts, functions, broken, config)
    broken |= lost
    for file in ours:  # the glue comes last
        unit = parse(ours[file], file)
        for refusal in unit.strange:
            raise refusal
        unmodelled |= unit.unmodelled
        functions |= unit.functions
        broken |= unit.broken
    traces = {name: TRACE for path in version.lifted for name in _TRACEPOINT.findall(texts[path])}

    names = tuple(sorted(traces))
    functions = {name: told_plainly(function, config) for name, function in functions.items()}
    functions = numbers_told(functions, structs, _library(PLAIN, kernel, names))

    def sized(scenario: Scenario) -> Sized:
        words = words_of(scenario)
        return Sized(_library(words, kernel, names), words.rigids, _own(scenario, functions))

    return Code(
        functions=functions,
        structs={name: _with_meaning(struct) for name, struct in structs.items()},
        broken=unmodelled | broken,
        lifted=lifted,
        kernel=f"Linux {tree.version} ({tree.origin})",
        digest=_digest({**texts, **ours}),
        ours=tuple(f"{name} ({file})" for file in ours for name in sorted(parse(ours[file], file).functions)),
        sized=sized,
    )


def scenarios_of(tree: KernelTree) -> dict[str, Scenario]:
    """The shipped scenarios that run functions of a tree like this one.

    Raises:
        InputError: functions cannot be lifted from it.
    """
    design = version_of(tree).design
    return {name: scenario for name, scenario in shipped_scenarios().items() if scenario.design == design}


def for_tree(scenario: Scenario, tree: KernelTree) -> Scenario:
    """A shipped scenario as it is asked of this tree: what one version should do, another does otherwise. Any other stays as it is.

    Raises:
        InputError: functions cannot be lifted from the tree.
    """
    shipped = shipped_scenarios()
    if not scenario.needs_kernel or shipped.get(scenario.name) != scenario:
        return scenario
    return shipped.get(scenario.name.replace(scenario.design, version_of(tree).design), scenario)


def _own(scenario: Scenario, functions: Mapping[str, ast.Function]) -> OwnState | None:
    """The state that fields bring with them which the threads of a scenario may use; None if there is none."""
    called = reached(functions, (thread.entry for thread in scenario.thread))
    used = [OWN[field] for field in OWN if any(uses_field(functions[name], field) for name in called)]
    return OwnState(LIBRARY, tuple(var for var, _ in used), tuple(update for _, update in used)) if used else None


@cache
def _library(words: Words, kernel: Kernel, traces: tuple[str, ...]) -> Library:
    """One library for all code that means the same by its names: what is lowered with it is known by it."""
    library = library_for(words, kernel)
    return replace(library, erased={**library.erased, **dict.fromkeys(traces, TRACE)})


def _changed_helpers(tree: KernelTree, path: str, text: str, unit: ast.Unit, kernel: Kernel) -> frozenset[str]:
    """The functions of a header that a change adds or alters, but for those that have a meaning of ours whatever they say."""
    below = reader(tree.read)(path)
    if below == text:
        return frozenset()
    before = {} if below is None else parse(below, path, config=kernel.config).functions
    changed = {name for name, function in unit.functions.items() if not is_same(before.get(name), function)}
    return frozenset(changed - meant_calls(kernel).keys())


def _followed(
    tree: KernelTree,
    ours: Mapping[str, str],
    texts: Mapping[str, str],
    functions: Mapping[str, ast.Function],
    broken: Mapping[str, Exception],
    config: Mapping[str, bool],
) -> tuple[dict[str, str], dict[str, Exception]]:
    """Our files, with the new names of functions that a change renames, and what to say of those that it takes away.

    A function is renamed where exactly one new one has its parameters and its body.
    """
    followed: dict[str, str] = dict(ours)
    lost: dict[str, Exception] = {}
    called = {word for text in ours.values() for word in _CALL.findall(text)} - MEANT - functions.keys() - broken.keys()
    for path, text in texts.items():
        below = reader(tree.read)(path)
        if not called or below is None or below == text:
            continue
        before = parse(below, path, macros=macros_beside(texts, path), config=config).functions
        for name in sorted(called & before.keys()):
            new = [f for n, f in functions.items() if n not in before and is_renamed(before[name], f)]
            if len(new) == 1:
                followed = {file: re.sub(rf"\b{name}\b", new[0].name, text) for file, text in followed.items()}
                continue
            what = "the change takes this function away, which our code around lifted functions calls"
            lost[name] = Refusal(before[name].at, what, name, "no new function has its parameters and its body; keep its name, or its body")
    return followed, lost


def _with_meaning(struct: ast.Struct) -> ast.Struct:
    """A struct without the fields whose types mean nothing here: nobody who needs one is understood, and who needs none is."""
    return replace(struct, fields=tuple((name, ref) for name, ref in struct.fields if not ref.base.startswith(("union ", "enum kvm_"))))


def _ours(kernel: Kernel) -> dict[str, str]:
    version = kernel.version
    files = {name: (KERNEL / name).read_text() for name in version.ours}
    files |= {f"{version.glue}/{path.name}": path.read_text() for path in sorted((KERNEL / version.glue).glob("*.c"))}
    return files | {name: (KERNEL / name).read_text() for name in kernel.glue}


def _digest(texts: Mapping[str, str]) -> str:
    joined = "\0".join(f"{name}\0{text}" for name, text in sorted(texts.items()))
    return hashlib.sha256(joined.encode()).hexdigest()[:12]
