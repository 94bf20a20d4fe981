"""A run as a Mermaid sequence chart: who does what to the page table, to host memory and to the caches, time downwards."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model.machine import parts
from ...model.view.naming import split_cell
from ...model.view.roles import TABLE_BOX
from ..facts import acting, folded, place
from ..schema import Cex, Step


def mermaid(cex: Cex) -> str:
    """The chart, without the fence that Markdown puts around it."""
    ids = {name: f"a{n}" for n, name in enumerate(acting(cex))}
    shown = [s for s in cex.steps if not folded(cex, s)]
    body = [line for step in shown for line in _step(cex, step, ids)]
    if cex.missing is not None:
        due = next((n for n, s in enumerate(shown) if s.number >= cex.missing.before), len(shown) - 1)
        body.insert(due, f"  Note over {ids[shown[due].actor]}: {_text('MISSING: ' + cex.missing.what)}")
    shared = _shared()
    used = {i for i, _ in shared if any(f">>{i}:" in line or line.startswith(f"  {i}-") for line in body)}
    threads = {a.name for a in cex.actors if a.kind == "thread"}
    heads = [f"  participant {ids[n]} as {_text(n)}" for n in ids if n in threads]
    heads += [f"  participant {i} as {name}" for i, name in shared if i in used]
    heads += [f"  participant {ids[n]} as {_text(n)}" for n in ids if n not in threads]
    hidden = sum(folded(cex, s) for s in cex.steps)
    who = ids[cex.steps[-1].actor] if cex.steps else "start"
    heads = heads or [f"  participant {who} as the first state"]
    tail = [f"  Note over {who}: VIOLATED: {_text(i.sentence)}" for i in cex.violation[:3]]
    note = [f"  %% {hidden} step{'s' if hidden != 1 else ''} folded"] if hidden else []
    return "\n".join(["sequenceDiagram", *heads, *body, *note, *tail]) + "\n"


def _step(cex: Cex, step: Step, ids: dict[str, str]) -> Iterator[str]:
    who, to = ids[step.actor], _target(cex, step, ids)
    at = f" ({place(step.sources[0])})" if step.sources else ""
    mark = " [cause]" if step.mark == "cause" else ""
    said = _text(f"{step.number}. {step.label}{at}{mark}")
    if to is None:
        yield f"  Note over {who}: {said}"
    elif step.effects and _fills(step):
        yield f"  {to}-->>{who}: {said}"
    else:
        yield f"  {who}->>{to}: {said}"


def _shared() -> dict[tuple[str, str], frozenset[str]]:
    """What actors act on: an id and a name, with the names of its variables."""
    return {party: frozenset(v.name for v in own) for telling in parts.tellings() for party, own in telling.acted_on.items()}


def _fills(step: Step) -> bool:
    """Whether something is only read into a cache."""
    cached = {var.name for cache in parts.caches() for var in cache.variables}
    return all(split_cell(c.cell)[0] in cached for c in step.changes)


def _entries() -> frozenset[str]:
    """The variables of the entries of tables: what fills a cache and reads none of them copies it from another cache."""
    return frozenset(var.name for entry in parts.entries() for var in entry.variables)


def _target(cex: Cex, step: Step, ids: dict[str, str]) -> str | None:
    """On what, or with whom, a step acts; None if it only concerns the actor itself."""
    changed = [split_cell(c.cell) for c in step.changes]
    queues = {queue.submitted.name: queue.owner for queue in parts.queues()}
    for var, index in changed:
        if var in queues:
            thread = [a.name for a in cex.actors if a.kind == "thread"][index[0]]
            other = thread if step.actor != thread else f"{queues[var]} {index[-1]}"
            if other in ids:
                return ids[other]
    for (i, _), own in _shared().items():
        if step.effects and any(var in own for var, _ in changed):
            return i
    if changed and _fills(step) and any(split_cell(name)[0] in _entries() for name in step.reads):
        return TABLE_BOX.name
    return None


def _text(words: str) -> str:
    """Words that no parser of Mermaid takes for anything else; `#35;` and its like are how it writes characters."""
    clean = "".join(c if c.isprintable() else "?" for c in words)
    return re.sub(r'[#;<>&"%{}]', lambda m: f"#{ord(m[0])};", clean)
