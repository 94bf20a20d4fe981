"""The kernel's own assertions: lockdep, WARN_ON, BUG_ON, KVM_BUG_ON in the kernel C, for free."""

from __future__ import annotations

import re
from collections.abc import Iterator

import z3

from ..core.sorts import StateVar
from ..core.system import Property
from ..model.machine.locks import mmu_reader, mmu_writer
from ..model.scene import Scene
from ..model.system import Model
from ..model.view.assertions import ASSERTIONS, FAILED, broken
from ..model.view.naming import cell
from .registered import Registered
from .telling import Run, Teller, Test, Wrong, place, statement

LOCK = re.compile(r"\b(write|read)_lock\b")


def kernel_assertions(failed: StateVar) -> Property:
    """No assertion of the compiled kernel C has been found false; `failed` is the set of those that have."""
    (a,) = failed.variables()
    return Property(
        name="kernel_assertions",
        sentence="No lockdep assertion of the kernel C fails, no WARN_ON or BUG_ON fires, and what a lock protects changes under it alone.",
        holds=z3.ForAll([a], z3.Not(failed(a))),
        source="the kernel C itself",
    )


def _found(scene: Scene) -> Iterator[Wrong]:
    for number in scene.each(ASSERTIONS):
        if scene.is_set(FAILED, number):
            name = scene.named(ASSERTIONS, number)
            yield Wrong(broken(name), {"assertion": name}, (cell(FAILED, number),))


def _assertion(run: Run, found: Wrong) -> str:
    number = run.since(lambda s: any(s.is_set(FAILED, a) for a in s.each(ASSERTIONS)))
    if not 0 < number < len(run.scenes):
        return ""
    name = str(found.at.get("assertion", "an assertion"))
    at = next((s for s in run.steps[number - 1].sources if name.endswith(f" at {s.file}:{s.line}")), None)
    what = f"{at.text}{place(at)}" if at is not None else name
    said = broken(name)
    wrong = f", and it {said.rpartition(' ')[2]}" if said != name else f": {name.rpartition(' at ')[0]}"
    return f"{run.who(number)} comes to {what}{wrong} (step {number}).{_lock(run, number)}"


def _lock(run: Run, number: int) -> str:
    """How the thread that takes a step holds mmu_lock after it, and where it took it."""
    if number != run.depth:
        return ""
    for thread in (thread for thread, name in enumerate(run.end.threads) if name == run.who(number)):
        for var, how in ((mmu_writer, "for writing"), (mmu_reader, "for reading")):
            taken = run.since(_set(var, thread))
            if taken <= number:
                at = statement(run, taken, LOCK) if taken else None
                return (
                    f" It holds mmu_lock {how}, taken{place(at, called=False)} (step {taken})."
                    if at is not None
                    else f" It holds mmu_lock {how}."
                )
    return ""


def _set(var: StateVar, thread: int) -> Test:
    return lambda scene: scene.is_set(var, thread)


def _of_model(model: Model) -> Property:
    """Of the assertions that this program has."""
    return kernel_assertions(model.system.by_name[FAILED.name])


REGISTERED = Registered(kernel_assertions(FAILED), _found, (Teller((), _assertion),), wants_lock=True, of_model=_of_model, every_size=False)
