"""What a step does, in the words of the kernel, told from how the state changes and never from the name of the action.

The words stand with the parts of the machine (`model/machine`); here they are put in a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..model.machine import parts
from ..model.view.naming import listed
from ..model.view.state_view import Changed, View
from .schema import Value

PLACEHOLDER = re.compile(r"\{(\w+)\}")


def effects(before: View, after: View, changed: Sequence[str]) -> tuple[str, ...]:
    """What a step does to tables, caches, host memory and devices; a step of locks and locals alone has none."""
    where = Changed(changed)
    tellings = sorted(parts.tellings(), key=lambda telling: telling.rank)
    return tuple(text for telling in tellings for text in telling.words(before, after, where))


def lesser_effects(before: View, after: View, changed: Sequence[str]) -> tuple[str, ...]:
    """Locks and read sides: worth a word where a step does nothing else."""
    where = Changed(changed)
    got: list[str] = []
    dropped: list[str] = []
    for lock in parts.held_locks():
        for at in where.at(lock.var) if lock.taken else ():
            if after.is_set(lock.var, *at):
                got.append(lock.taken)
            else:
                dropped.append(lock.left)
    return tuple(listed(said) for said in (got, dropped) if said)


def label(template: str, arguments: Mapping[str, Value], statement: str, doing: Sequence[str], lesser: Sequence[str], seen: str) -> str:
    """What a reader should see of a step.

    Args:
        template: the action's own label.
        arguments: its parameters; one that was renamed for uniqueness (`gfn@3`) still answers to its first name.
        statement: the visible statement of C, or ''.
        doing: its effects.
        lesser: what it does to locks.
        seen: what it reads.
    """
    worded = [lock for lock in parts.held_locks() if lock.taken]
    locks = tuple(lock.taken for lock in worded if lock.excludes)
    unlocks = tuple(lock.left for lock in worded if lock.excludes)
    if doing:
        # Which lock was taken is told where an assertion asked for another.
        taken = [said for said in lesser if said.startswith(locks)] if any(said.startswith("lockdep") for said in doing) else []
        return "; ".join([*taken, *doing, *(said for said in lesser if said.startswith(unlocks))])
    known = {name.partition("@")[0].rpartition(".")[2]: value for name, value in arguments.items()}
    own = PLACEHOLDER.sub(lambda m: str(known.get(m[1], m[0])), template)
    text = own or statement
    if "cmpxchg" in text:
        return "try_cmpxchg64() changes nothing" + (f", {seen}" if seen else "")
    if lesser and lesser[-1].startswith(tuple(lock.left for lock in worded)):
        found = seen or (own if own != statement else "")
        return "; ".join(said for said in (found, *lesser) if said)
    return seen or listed(lesser) or text


def seen(view: View, template: str, reads: Sequence[str]) -> str:
    """What a step that only reads finds: the host's mapping where its label speaks of a pfn, else the first entry that it looks at."""
    where = Changed(reads)
    if "pfn" in template:
        return ", ".join(said for t in parts.tellings() if t.resolves is not None and (said := t.resolves(view, where)))
    found = [
        [f"reads {entry.called(view, at)}: {entry.said(view, at)}" for at in where.at(entry.kind)]
        for entry in sorted(parts.entries(), key=lambda entry: entry.level)
    ]
    # A step that looks at several single entries is told by the one above them.
    lone = [texts[0] for level, texts in enumerate(found) if texts and (level or len(texts) < 2)]
    return lone[0] if lone else ""
