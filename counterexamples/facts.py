"""What stands in every report, as plain data: the forms differ in how they set it, never in what they say."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ..model.machine import parts
from ..model.machine.sorts import COUNTED
from ..model.system import KERNEL, designs
from ..model.view.naming import number_of, split_cell
from .scenes import scenes
from .schema import Cause, Cex, Source, Step

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
    known = [(cex.sizes[sort.name], name) for sort, name in COUNTED.items() if sort.name in cex.sizes]
    return ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for number, name in known)


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
    ours = (cex.kernel == "shipped" and not _from_outside(file)) or "/" not in file or file.startswith("_")
    return SHIPPED + file if ours and not file.startswith(SHIPPED) else file


def _from_outside(file: str) -> bool:
    """Whether a file is of a design that does not come with the tool."""
    return file.count("/") == 1 and not file.startswith("_") and file.partition("/")[0] not in designs()


def _shown(file: str) -> str:
    """A file as a reader sees it: by its own name, unless one of ours has the same."""
    name = PurePosixPath(file).name
    return file if _from_outside(file) and (KERNEL / name).is_file() else name


def place(source: Source) -> str:
    """File and line as a reader sees them."""
    return f"{_shown(source.file)}:{source.line}"


def verdict_line(cex: Cex) -> str:
    """What is violated, where, and how soon."""
    return f"VIOLATED {cex.prop.name} in scenario {cex.scenario.name}, {how_deep(cex)}"


def how_deep(cex: Cex) -> str:
    return f"depth {cex.depth}" + (" (shortest)" if cex.shortest else "")


def is_noise(cex: Cex, step: Step) -> bool:
    """Whether a step can be left out of the telling: it changes nothing but its thread's own place, locals and locks, and looks at nothing
    that another actor changes or that the host maps. The step that breaks the property never is, nor one that is marked as a cause.
    """
    if step.mark == "noise":
        return True
    if step.effects or step.mark == "cause" or step.number == cex.depth or _hands_over(cex, step):
        return False
    tellings, locks = parts.tellings(), lock_names()
    if any(words in step.label for telling in tellings for words in telling.never_folded):
        return False
    looked_at = {var.name for telling in tellings for var in telling.looked_at}
    theirs = {c.cell for other in cex.steps if other.actor != step.actor for c in other.changes if split_cell(c.cell)[0] not in locks}
    return not theirs & set(step.reads) and not any(split_cell(cell)[0] in looked_at for cell in step.reads)


def lock_names() -> frozenset[str]:
    """The variables by which a thread keeps others out."""
    return frozenset(lock.var.name for lock in parts.held_locks() if lock.excludes)


def _hands_over(cex: Cex, step: Step) -> bool:
    """Whether a step drops mmu_lock and another thread takes it later: that is where the one lets the other in."""
    told = {lock.var.name for lock in parts.held_locks() if lock.excludes and lock.taken}
    drops = any(split_cell(c.cell)[0] in told and c.old for c in step.changes)
    later = (s for s in cex.steps[step.number :] if s.actor != step.actor)
    return drops and any(split_cell(c.cell)[0] in told and c.new for s in later for c in s.changes)


def where(step: Step) -> str:
    """The file and line of the statement that a reader should look at."""
    return f"{_shown(step.sources[0].file)}:{step.sources[0].line}" if step.sources else ""


def counted_in(cex: Cex) -> str:
    """Of which text a report's line numbers are."""
    whose = "our kernel C, model/kernel/*.c" if cex.kernel == "shipped" else f"kernel {cex.kernel}, or for functions of ours model/kernel/"
    whose += f", and the design's, {cex.design}/*" if cex.kernel == "shipped" and cex.design not in designs() else ""
    return whose + (", with the change applied; a removed line has the number of the nearest one left" if cex.change else "")


def start(cex: Cex) -> str:
    """What a run begins with: who maps what, and which devices there are."""
    first = scenes(cex)[0]
    return "; ".join(said for telling in parts.tellings(first) if telling.start is not None for said in telling.start(first))


def parties(cex: Cex) -> tuple[str, ...]:
    """The actors that make a step, each with what it is there for."""
    end, does = scenes(cex)[-1], {actor.kind: actor.does for actor in parts.actors()}
    found = []
    for actor in (a for a in cex.actors if a.name in acting(cex)):
        kind, _, text = actor.name.partition(" ")
        told, number = does.get(kind), number_of(text)
        said = f"runs {actor.entry}()" if actor.entry else told(end, number) if told is not None and number is not None else ""
        found.append(f"{actor.name} {said}".rstrip())
    return tuple(found)
