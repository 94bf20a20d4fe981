"""The table of docs/museum.md. `python -m tdpcheck.tests.museum.table` makes it again."""

from __future__ import annotations

from pathlib import Path

from tdpcheck.runner.museum.items import Item, shipped_items

PAGE = Path(__file__).parents[2] / "docs" / "museum.md"
BEGIN, END = "<!-- the table begins -->\n", "<!-- the table ends -->\n"


def title(item: Item) -> str:
    """The first line of the story, without its mark."""
    return item.story.partition("\n")[0].removeprefix("# ")


def row(item: Item) -> str:
    expect = item.expect
    kernel = expect.kernel if isinstance(expect.kernel, str) else "; ".join(expect.kernel)
    twin = "`good.patch`" if expect.good else "unpatched"
    cells = (
        f"[{item.name}](../museum/{item.name}/story.md)",
        title(item),
        ", ".join(expect.ids),
        kernel,
        f"`{expect.property}`",
        f"`{expect.scenario}`",
        str(expect.depth),
        twin,
    )
    return "| " + " | ".join(cells) + " |\n"


def table() -> str:
    head = "| item | what goes wrong | id | known from | breaks | in scenario | steps | good twin |\n"
    return head + "|---|---|---|---|---|---|---|---|\n" + "".join(map(row, shipped_items().values()))


def shown() -> str:
    """The table as it stands in the page."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
