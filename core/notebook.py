"""HTML for notebooks: what `_repr_html_` of traces and verdicts is made of. Everything that is given is text, and is escaped here.

Nothing is loaded and nothing runs: no style sheet, no script, no link. No times are shown, so that the same answer reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from .sorts import Kind, Sort, Truth
from .system import Param

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def shown(kind: Kind, value: int) -> str:
    """A plain value as a person reads it."""
    match kind:
        case Truth():
            return "true" if value else "false"
        case Sort():
            return kind.show(value)
        case _:
            return str(value)


def filled(label: str, params: Sequence[Param], arguments: Sequence[int]) -> str:
    """`label` with each `{param}` replaced by its value; one that was renamed for uniqueness (`gfn@3`) still answers to its first name."""
    values = [shown(p.kind, value) for p, value in zip(params, arguments, strict=True)]
    known = {p.name.partition("@")[0].rpartition(".")[2]: value for p, value in zip(params, values, strict=True)}
    known |= {p.name: value for p, value in zip(params, values, strict=True)}
    return _PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), label)


def block(*parts: str) -> str:
    """Parts that are HTML already, as one."""
    return "\n".join(('<div class="tdpcheck">', *(part for part in parts if part), "</div>"))


def line(word: str, facts: Iterable[str]) -> str:
    """A verdict, and what has to be said with it."""
    return f"<p><strong>{escape(word)}</strong>: {escape('; '.join(facts))}</p>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first cell of a row names it, and the lines of a cell stay lines."""
    names = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = ["<table>", f"<caption>{escape(caption)}</caption>", f"<thead><tr>{names}</tr></thead>", "<tbody>"]
    for first, *rest in rows:
        cells = "".join(f"<td>{_lines(cell)}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{_lines(first)}</th>{cells}</tr>')
    return "\n".join([*lines, "</tbody>", "</table>"])


def _lines(cell: str) -> str:
    return "<br>".join(escape(part) for part in cell.splitlines())


def count(number: int, what: str) -> str:
    """A number of things.

    >>> count(1, "step"), count(2, "step")
    ('1 step', '2 steps')
    """
    return f"{number} {what}" + ("" if number == 1 else "s")
