"""The explorer in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from rich import markup
from rich import text as plain
from rich.style import Style
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, get_current_worker

from ...core.errors import InputError, TdpcheckError
from ...counterexamples.schema import COUNTEREXAMPLE
from ...runner import output
from ..harmless import harmless
from .session import PATIENCE, WALK, Cancelled, Session
from .view import ShownStep, View, view

GOOD, BAD, FAINT, ACCENT = "green", "bold red", "dim", "bold cyan"


class Text(plain.Text):
    """Text of which no part is a control character, whoever wrote it."""

    def __init__(self, text: str = "", style: str | Style = "", **more: Any) -> None:
        super().__init__(harmless(text), style, **more)

    def append(self, text: plain.Text | str, style: str | Style | None = None) -> Text:
        """Add text, or a string without its control characters."""
        super().append(harmless(text) if isinstance(text, str) else text, style)
        return self


def escape(text: str) -> str:
    """Text that is no markup and no control character."""
    return markup.escape(harmless(text))


STATEMENT = 40
"""So much of a statement is shown beside its line."""


LANE, APART = 16, 14
"""The narrowest lane in which a label can be read, and what number, line and frame of the table take beside the lanes."""


class Aims(ModalScreen[str | None]):
    """Which state to go to."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)", "Close")]

    def __init__(self, title: str, aims: tuple[str, ...]) -> None:
        super().__init__()
        self._title = title
        self._aims = aims

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(self._title, classes="title")
            yield OptionList(*(Option(escape(aim)) for aim in self._aims))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._aims[event.option_index])


class Ask(ModalScreen[str | None]):
    """The name of a file."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Close")]

    def __init__(self, title: str, value: str) -> None:
        super().__init__()
        self._title = title
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(self._title, classes="title")
            yield Input(self._value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)


class Looking(ModalScreen[str | None]):
    """A search for a way, in a thread of its own: the screen says so, and Escape ends it. Answers with what became of it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "stop", "Stop")]

    def __init__(self, session: Session, aim: str) -> None:
        super().__init__()
        self._session = session
        self._aim = aim
        self._search: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(f"Looking for a way to {escape(self._aim)} ...", classes="title")
            yield Static(f"At most {PATIENCE:.0f} seconds; Escape stops it.")

    def on_mount(self) -> None:
        self._search = self._look()

    def action_stop(self) -> None:
        if self._search is not None:
            self._search.cancel()
        self.dismiss(None)

    @work(thread=True)
    def _look(self) -> None:
        search = get_current_worker()
        try:
            found = self._session.look(self._aim, cancelled=lambda: search.is_cancelled)
        except Cancelled:
            return
        if not search.is_cancelled:
            self.app.call_from_thread(lambda: self.dismiss(self._session.reach(self._aim, found)))


class Explorer(App[None]):
    """One session on the whole terminal.

    Args:
        folder: where runs are saved.
        seed: of the first random walk; the next ones count on from it.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; }
    #head { height: auto; padding: 0 1; }
    #said { height: auto; min-height: 1; padding: 0 1; color: $text-muted; }
    #body { height: 1fr; }
    .pane { border: round $primary-darken-2; border-title-color: $text; padding: 0 1; }
    #choices { width: 3fr; height: 1fr; background: $background; color: $foreground; }
    #machine { width: 2fr; height: 1fr; background: $background; }
    #choices > .option-list--option { color: $foreground; }
    #steps { height: 40%; background: $background; }
    OptionList:focus, DataTable:focus, #machine:focus { border: round $accent; }
    Aims, Ask, Looking { align: center middle; }
    .box { width: 70; max-width: 95%; height: auto; max-height: 80%; border: round $accent; padding: 1 2; background: $surface; }
    .title { padding-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u,left", "undo", "Undo", key_display="u"),
        Binding("r,right", "redo", "Redo", key_display="r"),
        Binding("w", "walk", "Random walk"),
        Binding("j", "jump", "Jump"),
        Binding("b", "begin", "Begin again"),
        Binding("s", "save", "Save"),
        Binding("l", "load", "Load"),
        Binding("q", "quit", "Quit"),
        *(Binding(str(n), f"take({n - 1})", show=False) for n in range(1, 10)),
    ]

    def __init__(self, session: Session, folder: Path, seed: int = 0) -> None:
        super().__init__()
        self.session = session
        self._folder = folder
        self._seed = seed

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="said")
        with Horizontal(id="body"):
            yield OptionList(id="choices", classes="pane")
            with VerticalScroll(id="machine", classes="pane", can_focus=True):
                yield Static(id="outline")
        yield DataTable(id="steps", classes="pane", cursor_type="row", zebra_stripes=False)
        yield Footer()

    def on_mount(self) -> None:
        self.title = f"tdpcheck explore {self.session.model.scenario.name}"
        self.query_one("#choices").border_title = "What may happen next"
        self.query_one("#machine").border_title = "The machine"
        self.query_one("#steps").border_title = "What happened"
        self._show()
        self.query_one("#choices").focus()

    # What is seen

    def _show(self, said: str = "") -> None:
        seen = view(self.session, said)
        self.query_one("#head", Static).update(_head(seen))
        self.query_one("#said", Static).update(Text(said))
        choices = self.query_one("#choices", OptionList)
        choices.clear_options()
        choices.add_options(Option(_choice(n, c, seen)) for n, c in enumerate(seen.choices))
        if seen.choices:
            choices.highlighted = 0
        else:
            choices.add_option(Option(Text("Nothing can happen any more: every thread is done, or waits for ever.", FAINT), disabled=True))
        choices.border_subtitle = f"{len(seen.choices)} choices" if len(seen.choices) != 1 else "1 choice"
        self.query_one("#outline", Static).update(_machine(seen))
        self._show_steps(seen)

    def _show_steps(self, seen: View) -> None:
        table: DataTable[Text] = self.query_one("#steps", DataTable)
        table.clear(columns=True)
        table.add_columns("#", "line")
        # All lanes stay in sight: a label that is longer than its lane goes on below.
        place = max((len(step.where) for step in seen.steps), default=len("line"))
        wide = max(LANE, (self.size.width - place - APART) // max(1, len(seen.lanes)) - 2)
        for name, at in seen.lanes:
            table.add_column(f"{name} ({at})" if at else name, width=wide)
        for step in seen.steps:
            style = BAD if step.breaks else ""
            cells = [_step(step, style) if name == step.actor else Text() for name, _ in seen.lanes]
            table.add_row(Text(str(step.number), FAINT), Text(step.where, FAINT), *cells, height=None)
        if seen.steps:
            table.move_cursor(row=len(seen.steps) - 1)
        table.border_subtitle = f"{seen.depth} steps" if seen.depth != 1 else "1 step"

    # What is done

    def action_take(self, number: int) -> None:
        if number < len(self.session.choices):
            self._do(lambda: self.session.take(number))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if event.option_list.id == "choices":
            self.action_take(event.option_index)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        self._do(lambda: self.session.back_to(event.cursor_row + 1))

    def _do(self, what: Callable[[], None]) -> None:
        try:
            what()
        except TdpcheckError as error:
            self._show(str(error))
        else:
            self._show()

    def action_undo(self) -> None:
        self._show("" if self.session.undo() else "There is nothing to undo.")

    def action_redo(self) -> None:
        self._show("" if self.session.redo() else "There is nothing to do again.")

    def action_walk(self) -> None:
        taken = self.session.walk(WALK, self._seed)
        self._seed += 1
        self._show(f"{taken} {'step' if taken == 1 else 'steps'} at random." if taken else "Nothing can happen.")

    @work
    async def action_jump(self) -> None:
        aim = await self.push_screen_wait(Aims("Go the shortest way from here to", self.session.aims))
        if aim is not None:
            found = await self.push_screen_wait(Looking(self.session, aim))
            said = f"{found}." if found is not None else f"{aim}: no longer looked for."
            # A table measures its columns when its screen is drawn, and this one has only just come back.
            self.call_after_refresh(lambda: self._show(said))

    @work
    async def action_begin(self) -> None:
        starts = tuple(f"start {n + 1} of {len(self.session.starts)}" for n in range(len(self.session.starts)))
        chosen = starts[0] if len(starts) == 1 else await self.push_screen_wait(Aims("Begin again from", starts))
        if chosen is not None:
            self.session.begin(starts.index(chosen))
            self._show("A new run begins.")

    @work
    async def action_save(self) -> None:
        name, _ = self.session.saved()
        given = await self.push_screen_wait(Ask("Save this run as", str(_free(self._folder / name))))
        if given is None:
            return
        path = Path(given)
        try:
            if path.exists():
                raise InputError(f"{path}: is there already; give another name")
            output.prepared(str(path.parent))
            output.write(path, self.session.saved()[1])
        except TdpcheckError as error:
            self._show(str(error))
        else:
            self._show(f"Saved as {path}.")

    @work
    async def action_load(self) -> None:
        given = await self.push_screen_wait(Ask("Go on from a stored run: *.cex.json or *.trace.json", ""))
        if given is None:
            return
        try:
            self.session.load(COUNTEREXAMPLE.content(given), given)
        except TdpcheckError as error:
            self._show(str(error))
        else:
            self._show(f"A stored run of {self.session.depth} steps.")


def _free(path: Path) -> Path:
    """The path, or with a number before its endings if there is a file already."""
    stem, dot, endings = path.name.rpartition(".cex.json" if path.name.endswith(".cex.json") else ".trace.json")
    number = 2
    found = path
    while found.exists():
        found = path.with_name(f"{stem}-{number}{dot}{endings}")
        number += 1
    return found


def _head(seen: View) -> Text:
    text = Text()
    text.append(seen.scenario, "bold")
    if seen.change:
        text.append(f" with {seen.change}")
    text.append(f"   {seen.story}\n", FAINT)
    for n, prop in enumerate(seen.properties):
        text.append("   " if n else "")
        text.append(f"✓ {prop.name}" if prop.holds else f"✗ {prop.name} is violated", GOOD if prop.holds else BAD)
    text.append("\n")
    for n, (name, reached) in enumerate(seen.goals.items()):
        text.append("   " if n else "goals: ", FAINT)
        text.append(f"{'●' if reached else '○'} {name}", GOOD if reached else FAINT)
    for why in (w for prop in seen.properties for w in prop.why):
        text.append(f"\n=> {why}.", BAD)
    return text


def _choice(number: int, choice: ShownStep, seen: View) -> Text:
    wide = min(12, max(len(c.actor) for c in seen.choices))
    text = Text(f"{number + 1}" if number < 9 else " ", FAINT)
    text.append(f" {choice.actor:{wide}} ", ACCENT)
    text.append(choice.label)
    statement = choice.statement if len(choice.statement) <= STATEMENT else choice.statement[: STATEMENT - 2] + ".."
    place = "  ".join(p for p in (choice.where, statement if choice.statement != choice.label else "") if p)
    if place:
        text.append(f"\n  {' ' * wide} {place}", FAINT)
    if choice.breaks:
        text.append(f"\n  {' ' * wide} ✗ breaks {', '.join(choice.breaks)}", BAD)
    return text


def _step(step: ShownStep, style: str) -> Text:
    return Text(step.label + (f"  ✗ {', '.join(step.breaks)}" if step.breaks else ""), style)


def _machine(seen: View) -> plain.Text:
    return Text("\n").join(_machine_lines(seen))


def _machine_lines(seen: View) -> Iterator[plain.Text]:
    for n, line in enumerate(seen.machine):
        if line.level == 0:
            yield Text(("\n" if n else "") + line.text, FAINT)
            continue
        style = BAD if line.violating else "red" if line.stale else ""
        yield Text.assemble(("● " if line.changed else "  ", ACCENT), ("  " * (line.level - 1) + line.text, style))
