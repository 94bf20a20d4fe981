"""What stands in every report, as plain data: the forms differ in how they set it, never in what they say."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from .schema import Cause, Cex, Source, Step
from .text import SIZES, counted_in, is_noise, start

SHIPPED = "model/kernel/"
"""Where our own kernel C lies in the repository, and in a patch against it."""

MARKS = {"cause": "cause", "enabling": "needed", "noise": "noise", "": ""}
"""What a reader sees of a mark."""

MANNERS = {"same": "", "branch": "goes another way", "idle": "finds nothing to do", "left out": "is not reached", "inserted": "added"}
"""How a step of the near miss went."""


def facts(cex: Cex) -> tuple[tuple[str, str], ...]:
    """The verdict line's facts, by name."""
    lifted = f", {len(cex.lifted)} functions lifted" if cex.lifted else ""
    return (
        ("property", cex.prop.name),
        ("scenario", cex.scenario.name),
        ("change", cex.change or "none"),
        ("depth", f"{cex.depth} step{'' if cex.depth == 1 else 's'}" + (", none shorter" if cex.shortest else "")),
        ("design", cex.design),
        ("kernel C", cex.kernel + lifted),
        *((("lines", counted_in(cex)),) if any(s.sources for s in cex.steps) else ()),
        ("model", cex.model),
        ("found by", ", ".join(engines(cex))),
        ("replayed", "yes, without a solver"),
    )


def folded(cex: Cex, step: Step) -> bool:
    """Whether a step may be left out of the telling: a checked mark says so, else what it does."""
    return step.mark == "noise" if any(s.mark for s in cex.steps) else is_noise(cex, step)


def acting(cex: Cex) -> tuple[str, ...]:
    """The actors that make a step, in the document's order."""
    return tuple(a.name for a in cex.actors if any(s.actor == a.name for s in cex.steps))


def actors(cex: Cex) -> tuple[tuple[str, str], ...]:
    """Who is there, and who is not."""
    idle = [a.name for a in cex.actors if a.name not in acting(cex)]
    pairs = (
        ("at the start", start(cex)),
        ("acting", ", ".join(acting(cex)) or "nobody"),
        ("idle", ", ".join(idle)),
        ("not modelled", ", ".join(cex.absent)),
    )
    return tuple((name, value) for name, value in (*pairs, ("size", sizes(cex))) if value)


def sizes(cex: Cex) -> str:
    """How big the machine is."""
    return ", ".join(f"{cex.sizes[sort]} {name}{'' if cex.sizes[sort] == 1 else 's'}" for sort, name in SIZES.items() if sort in cex.sizes)


def assumptions(cex: Cex) -> tuple[tuple[str, bool], ...]:
    """What is taken for granted, and whether the violation needs it."""
    return tuple((a, a in cex.needs) for a in cex.assumptions)


def engines(cex: Cex) -> tuple[str, ...]:
    """Those that found the violation, each once."""
    return tuple(dict.fromkeys((*cex.engine.split(", "), *cex.confidence.engines)))


def confidence(cex: Cex) -> tuple[str, ...]:
    """Why to believe it."""
    known, goals = engines(cex), cex.confidence.goals
    lines = [
        "The run was executed again by plain evaluation, without a solver, and ends in the violation.",
        f"Found by {known[0]}." if len(known) == 1 else f"Engines that agree: {', '.join(known)}.",
        "No shorter run violates the property." if cex.shortest else "",
        f"Goals of the scenario reached (step): {', '.join(f'{goal} ({at})' for goal, at in goals.items())}." if goals else "",
    ]
    return tuple(line for line in lines if line)


def order(cause: Cause) -> str:
    """What a cause says, and between which steps, if its sentence leaves that open."""
    named = re.search(rf"\bstep {cause.before}\b", cause.sentence, re.IGNORECASE)
    return cause.sentence if named else f"Step {cause.before} before step {cause.after}: {cause.sentence}"


def path_of(cex: Cex, file: str) -> str:
    """A file as a patch names it: of a kernel tree its path there, of ours its path in this repository."""
    ours = cex.kernel == "shipped" or "/" not in file or file.startswith("_")
    return SHIPPED + file if ours and not file.startswith(SHIPPED) else file


def place(source: Source) -> str:
    """File and line as a reader sees them."""
    return f"{PurePosixPath(source.file).name}:{source.line}"
