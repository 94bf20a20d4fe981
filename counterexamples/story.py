"""One or two sentences on a run: who did what between which two steps of whom, and what is reachable now.

The sentences stand with the property (`properties`); what can always be said stands here.
"""

from __future__ import annotations

from ..properties import REGISTRY
from ..properties.telling import Run, Wrong
from .scenes import scenes
from .schema import Cex


def story(cex: Cex) -> str:
    """What happened, for somebody who has not seen the run."""
    run, known = Run(scenes(cex), cex.steps), REGISTRY.get(cex.prop.name)
    found = Wrong(cex.violation[0].sentence, cex.violation[0].at, cex.violation[0].cells)
    for teller in known.tellers if known is not None else ():
        values = [found.at[n] for n in teller.about if n in found.at]
        if found.cells and len(values) == len(teller.about) and not any(isinstance(v, str) for v in values):
            told = teller.tell(run, found, *map(int, values)).strip()
            if told:
                return told
    return _plain(run, found)


def _plain(run: Run, found: Wrong) -> str:
    """What can always be said."""
    if not run.steps:
        return f"It begins so: {found.sentence}."
    return f"{run.who(run.depth)}: {run.steps[-1].label} (step {run.depth}). After that, {found.sentence}."
