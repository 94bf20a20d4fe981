"""Write docs/api.md anew from the docstrings of the public face: `python -m tdpcheck.docs.api`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from enum import Enum, EnumMeta
from pathlib import Path
from textwrap import fill

import tdpcheck

PARTS = ("Args", "Returns", "Raises", "Example", "Source", "Yields")
PAGE = Path(__file__).with_name("api.md")
SECTIONS = {
    "To ask": ("verify", "Cells", "Run", "Answer", "Change", "explain", "Explanation", "prove_scenario", "Proof",
        "replay", "Replay", "race", "Race", "museum", "museum_items", "claims", "mutate", "Mutants", "Judged"),
    "What is asked about": ("scenario", "scenario_names", "Scenario", "property_named", "property_names", "Property", "Cex"),
    "What is answered": (
        "Verdict", "Proved", "Violated", "HoldsUpTo", "Unknown", "Reason", "ReasonKind", "Trace", "Step", "replays", "misfit",
    ),
    "Systems of one's own": (
        "TransitionSystem", "Action", "Param", "Update", "Lemma", "Sort", "StateVar", "Word", "BOOL", "Rigid", "Geometry", "State",
        "bool_var", "set_at", "set_where", "truth", "Evaluator", "ground",
    ),
    "Engines and certificates": (
        "explore", "reachable", "pdr", "prove", "explored_invariant", "grounded", "parametric", "statement_of", "check_certificate",
    ),
    "Errors": ("TdpcheckError", "InputError"),
}  # fmt: skip
HEAD = """# The Python interface

`import tdpcheck` is the public face: what stands here, and nothing else, is meant to be used by programs. The command line stands on the
same calls. Each name is imported when it is first used. For kernel C with a meaning of your own there is `tdpcheck.kernelc`, as
`examples/toy_kernel.py` uses it. The two notebooks, [a race](notebooks/race.ipynb) and [a proof](notebooks/proof.ipynb), show most of it
at work.

This page is made from the docstrings (`python -m tdpcheck.docs.api`); a test keeps the two alike, and runs the examples.
"""


def page() -> str:
    """The page, as it is to be."""
    parts = [HEAD]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(name, getattr(tdpcheck, name)) for name in names]
    return "\n".join(parts).rstrip("\n") + "\n"


def _entry(name: str, thing: object) -> str:
    lines = [f"### `{name}`\n"]
    if inspect.isclass(thing) or inspect.isfunction(thing):
        lines.append(f"```python\n{_signature(name, thing)}\n```\n")
        lines.append(_text(thing))
        if inspect.isclass(thing):
            lines += _members(thing)
    elif name == "Verdict":
        lines.append("`Proved | Violated | HoldsUpTo | Unknown`: every answer is one of these four.\n")
    else:
        lines.append(f"`{thing!r}`\n" if len(repr(thing)) < 100 else "\n")
    return "\n".join(lines)


def _signature(name: str, thing: Callable[..., object]) -> str:
    """How it is called, one parameter a line where it is long; what is private is left out."""
    if isinstance(thing, EnumMeta):
        return "\n".join(f"{name}.{member.name} == {json.dumps(member.value)}" for member in _enumerated(thing))
    try:
        found = inspect.signature(thing)
    except ValueError:  # an exception
        return f"{name}(message)"
    params = [p for p in found.parameters.values() if not p.name.startswith("_")]
    end = "" if inspect.isclass(thing) or found.return_annotation is found.empty else f" -> {found.return_annotation}"
    inside = list(map(_parameter, params))
    kinds = [p.kind for p in params]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        inside.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    short = f"{name}({', '.join(inside)}){end}"
    return short if len(short) <= 100 else f"{name}(\n" + "".join(f"    {p},\n" for p in inside) + f"){end}"


def _enumerated(thing: EnumMeta) -> Iterator[Enum]:
    yield from thing.__members__.values()


def _parameter(param: inspect.Parameter) -> str:
    star = "*" if param.kind is param.VAR_POSITIONAL else ""
    kind = param.annotation
    said = "" if kind is param.empty else f": {kind.__name__ if inspect.isclass(kind) else kind}"
    default = "" if param.default is param.empty else f" = {'...' if '<' in repr(param.default) else repr(param.default)}"
    return f"{star}{param.name}{said}{default}"


def _text(thing: object) -> str:
    """A docstring as Markdown: its sections as lists, its examples as code."""
    doc = inspect.getdoc(thing) or ""
    out: list[str] = []
    section = ""
    for line in doc.split("\n"):
        stripped = line.strip()
        if line and not line.startswith(" ") and stripped.endswith(":") and stripped[:-1] in PARTS:
            if section == "Example":
                out.append("```\n")
            section = stripped[:-1]
            out.append(f"**{section}**\n" if section != "Example" else "```python")
        elif section == "Example":
            out.append(line[4:])
        elif section and line.startswith("    "):
            name, colon, rest = line.strip().partition(": ")
            is_entry = section in ("Args", "Raises") and colon and not line.startswith("        ")
            out.append(f"* `{name}`: {rest}" if is_entry else f"  {stripped}" if section in ("Args", "Raises") else stripped)
        else:
            out.append(line)
    if section == "Example":
        while out and not out[-1].strip():
            out.pop()
        out.append("```")
    return "\n".join(out).rstrip("\n") + "\n"


def _members(thing: type) -> Iterator[str]:
    """The public methods and properties that a class defines itself, a line each."""
    for name, value in vars(thing).items():
        function = getattr(value, "__func__", None) or getattr(value, "fget", None) or getattr(value, "func", value)
        if name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        first = inspect.getdoc(function) or ""
        sentence = " ".join(first.split("\n\n")[0].split())
        shown = name if not inspect.isfunction(value) and not isinstance(value, classmethod | staticmethod) else _call(name, function)
        yield fill(f"* `{shown}`: {sentence}", 138, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
    yield ""


def _call(name: str, function: object) -> str:
    names = [p.name for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]  # type: ignore[arg-type]
    return f"{name}({', '.join(names)})"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: written")


if __name__ == "__main__":
    main()
