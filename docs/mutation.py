"""Write the tables of docs/mutation.md anew, from a campaign that is kept beside it: `python -m tdpcheck.docs.mutation [FILE COMMIT]`.

With a FILE that `tdpcheck mutate --json` wrote, that one is kept, as made at COMMIT.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tdpcheck.kernelc.text.mutations import OPERATORS
from tdpcheck.runner.documents import to_json
from tdpcheck.runner.mutants.asked import FOUND, MISSED, Fate, Judged
from tdpcheck.runner.mutants.campaign import Mutants, stored
from tdpcheck.runner.mutants.declared import Equivalent, declared

PAGE = Path(__file__).with_name("mutation.md")
KEPT = Path(__file__).with_name("mutation.json")
BEGIN, END = "<!-- the tables begin -->\n", "<!-- the tables end -->\n"


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A campaign, and the commit that it was made at."""

    commit: str
    found: Mutants


def kept() -> Campaign:
    """The one that the page tells of."""
    return msgspec.json.decode(KEPT.read_bytes(), type=Campaign)


def tables() -> str:
    """What stands between the marks of the page, as it is to be."""
    campaign = kept()
    return "\n".join((*_operators(), *_score(campaign), *_counts(campaign.found), *_survivors(campaign.found), *_declared(declared())))


def _operators() -> Iterator[str]:
    yield "## The operators\n\n| operator | what goes wrong |\n| --- | --- |"
    yield from (f"| `{name}` | {_cell(what)} |" for name, what in OPERATORS.items())
    yield ""


def _score(campaign: Campaign) -> Iterator[str]:
    found = campaign.found
    drawn = "all" if found.wanted.sample is None else f"a sample of {found.chosen}, drawn with seed {found.wanted.seed}"
    yield "## The score\n"
    yield f"At commit {campaign.commit}: {drawn}, of {found.of} mutants; {len(found.judged)} judged.\n"
    share = "" if found.score is None else f", **{100 * found.score:.1f} %**"
    yield f"Found: **{found.count(*FOUND)} of {found.counted}** that could be{share}.\n"
    yield "| fate | mutants | |\n| --- | --- | --- |"
    meanings: dict[Fate, str] = {
        "killed": "a property is violated",
        "deadlock": "threads are stuck",
        "livelock": "threads go round for ever",
        "goal": "nothing is violated, but the goal of a scenario is out of reach, so that `verify` says Unknown",
        "survived": "all holds wherever its function runs, every state visited",
        "open": "nothing was found, and not everything was asked",
        "equivalent": "declared to be no fault, with a reason; not counted",
        "refused": "no C that compiles; not counted",
        "not modelled": "its function runs nowhere; not counted",
    }
    yield from (f"| {fate} | {found.count(fate)} | {meaning} |" for fate, meaning in meanings.items())
    yield ""


def _counts(found: Mutants) -> Iterator[str]:
    ways: tuple[tuple[str, Callable[[Judged], str]], ...] = (
        ("operator", lambda judged: judged.operator),
        ("function", lambda judged: judged.function),
        ("what found them", lambda judged: judged.by if judged.found else ""),
    )
    for what, key in ways[:2]:
        yield f"| {what} | found | goal lost | survived | open | not counted |\n| --- | --- | --- | --- | --- | --- |"
        yield from (_row(name, fates) for name, fates in sorted(found.by(key).items()))
        yield ""
    yield f"| {ways[2][0]} | mutants |\n| --- | --- |"
    by = Counter(judged.by for judged in found.judged if judged.found)
    yield from (f"| `{name}` | {count} |" for name, count in by.most_common())
    yield ""


def _row(name: str, fates: Counter[Fate]) -> str:
    found = sum(fates[fate] for fate in FOUND)
    missed = [fates[fate] for fate in MISSED]
    return f"| `{name}` | " + " | ".join(map(str, (found, *missed, sum(fates.values()) - found - sum(missed)))) + " |"


def _survivors(found: Mutants) -> Iterator[str]:
    yield "## What was not found\n"
    if not found.survivors:
        yield "Nothing.\n"
    for judged in found.survivors:
        why = f": {judged.reason}" if judged.reason else f" in {judged.asked} scenarios"
        if judged.fate == "goal":
            why = f" {judged.by!r} is out of reach in {judged.scenario}"
        yield f"`{judged.function}()`, {judged.file}:{judged.line}, {judged.operator}: {judged.fate}{why}\n"
        yield f"```diff\n{judged.diff.rstrip()}\n```\n"


def _declared(known: tuple[Equivalent, ...]) -> Iterator[str]:
    yield "## What is no fault\n\nDeclared in `runner/mutants/equivalent.toml`; a test keeps each the name of exactly one mutant.\n"
    yield "| function | operator | fault | why it is none |\n| --- | --- | --- | --- |"
    yield from (f"| `{each.function}` | {each.operator} | `{_cell(each.what)}` | {_cell(each.reason)} |" for each in known)
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page() -> str:
    """The page, with the tables as they are to be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + tables() + END + rest.partition(END)[2]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        KEPT.write_text(to_json(Campaign(sys.argv[2], stored(Path(sys.argv[1])))), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
