"""What of a change no run has judged: conditions that only ever turned out one way, and statements that lost every path or have none.

That each line was reached is not enough. What a condition keeps from being done is judged only where it was both true and false. And
a statement that runs executed before the change, and that stands on no path with it, was taken away without a line saying so.

A condition that a change only wrote in other words (a local or a helper renamed, a negation with the arms swapped, moved into a helper
or out of one) need not turn out in more ways than it did before.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from ...core.system import Source
from ...kernelc.lowering.calls import children
from ...kernelc.sources.apply import ChangedLine
from ...kernelc.sources.lines import alignments
from ...kernelc.text import ast
from ...kernelc.text.same import is_renamed
from ...kernelc.text.show import show
from .account import Accounted, Ran, Side
from .marks import EXPRESSIONS, Outcome, Watch, watched

_FLIPPED = {"!=": "==", ">=": "<", "<=": ">"}
_NOTHING = frozenset({"0", "NULL", "false"})
_WORD = re.compile(r"(?<![.\w])[A-Za-z_]\w*")
_JUMPS = re.compile(r"\b(?:goto|return|break|continue)\b")
_JUDGED = "what hangs on it was not judged"


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Something of a change on which no good answer rests: where it is after the change (a statement: before it), its text, and why."""

    file: str
    line: int
    text: str
    why: str
    function: str = ""


def unjudged(
    changed: Sequence[ChangedLine],
    before: Side,
    after: Side,
    uses: Mapping[str, Iterable[int]] | None = None,
    lines: Sequence[Accounted] = (),
) -> tuple[Unjudged, ...]:
    """What no run of these models has judged of a change.

    Args:
        uses: lines (by file, after the change) that use a macro which it changes: conditions there are altered like its own.
        lines: what became of each changed line.
    """
    conditions = (*_one_sided(changed, before, after, uses or {}), *_dropped(changed, before, after))
    told = {(found.file, found.function) for found in conditions}
    return (*conditions, *_lost(changed, before, after), *_never_run(lines, before, after, told))


def open_outcomes(
    changed: Sequence[ChangedLine], side: Side, kind: Literal["added", "removed"], uses: Mapping[str, Iterable[int]] | None = None
) -> dict[int, tuple[tuple[str, ...], ...]]:
    """For each model (by its place in `side.ran`) whose states were not all visited: groups of actions, by one of which a condition
    on changed lines of that kind would turn out as it has not yet.
    """
    wanted: dict[int, dict[tuple[str, ...], None]] = {}
    conditions = _Conditions(side)
    for watch in conditions.touched(changed, kind, uses or {}):
        for holds in conditions.missing(watch):
            outcome = Outcome(watch.condition, holds)
            for number, ran in enumerate(side.ran):
                names = tuple(n for n, seen in ran.outcomes.items() if outcome in seen and n not in ran.excluded)
                if names and not ran.exact:
                    wanted.setdefault(number, {})[names] = None
    return {number: tuple(groups) for number, groups in wanted.items()}


# Conditions


class _Conditions:
    """The watched conditions of one side, and how they turned out in all its runs."""

    def __init__(self, side: Side) -> None:
        self.side = side

    @cached_property
    def functions(self) -> dict[str, ast.Function]:
        """The functions that some model contains."""
        return {name: ran.functions[name] for ran in self.side.ran for name in ran.inlined if name in ran.functions}

    @cached_property
    def all(self) -> tuple[Watch, ...]:
        found = {w.condition: w for function in self.functions.values() for w in watched(function)}
        return tuple(found.values())

    @cached_property
    def seen(self) -> frozenset[Outcome]:
        return frozenset(o for ran in self.side.ran for name in ran.fired for o in ran.outcomes.get(name, ()))

    def missing(self, watch: Watch) -> tuple[bool, ...]:
        """The ways in which a condition never turned out."""
        return tuple(holds for holds in (True, False) if Outcome(watch.condition, holds) not in self.seen)

    def touched(
        self, changed: Iterable[ChangedLine], kind: Literal["added", "removed"], uses: Mapping[str, Iterable[int]]
    ) -> Iterator[Watch]:
        """Those that a changed line of this side is a part of, or (with the change) out of which a line was taken."""
        own = {file: set(lines) for file, lines in uses.items()}
        gaps: dict[str, set[int]] = {}
        for line in changed:
            if line.kind == kind:
                own.setdefault(line.file, set()).add(line.line)
            elif kind == "added":
                gaps.setdefault(line.file, set()).add(line.near)
        for watch in self.all:
            file, (first, last), whole = watch.condition.file, watch.lines, watch.whole
            new = any(first <= n <= last for n in own.get(file, ()))
            if new or any(whole[0] < n <= whole[1] for n in gaps.get(file, ())):
                yield watch


def _one_sided(changed: Sequence[ChangedLine], before: Side, after: Side, uses: Mapping[str, Iterable[int]]) -> Iterator[Unjudged]:
    now, then = _Conditions(after), _Conditions(before)
    words = _OtherWords(then, now)
    for watch in now.touched(changed, "added", uses):
        if _is_compound(watch.expression):
            continue  # its operands say more
        missing = [holds for holds in now.missing(watch) if not words.so_before(watch, holds)]
        if missing:
            at = watch.condition
            yield Unjudged(at.file, at.line, at.text, f"{_never(missing)} in any run: {_JUDGED}", at.function)


def _dropped(changed: Sequence[ChangedLine], before: Side, after: Side) -> Iterator[Unjudged]:
    """The conditions that a change takes away, and that no run without it had both ways: what they kept from being done was never done."""
    if not after.ran:
        return
    now, then = _Conditions(after), _Conditions(before)
    words = _OtherWords(now, then)
    for watch in then.touched(changed, "removed", {}):
        missing = then.missing(watch)
        if missing and not _is_compound(watch.expression) and not _is_constant(watch.expression) and not words.is_there(watch):
            at = watch.condition
            why = f"{_never(missing)} in any run without the change, which takes it away: {_JUDGED}"
            yield Unjudged(at.file, at.line, at.text, why, at.function)


def _never_run(lines: Sequence[Accounted], before: Side, after: Side, told: Collection[tuple[str, str]]) -> Iterator[Unjudged]:
    """The changed lines that no run executes, where no condition explains it.

    None is a line that says on the other side what it says here, nor one of a function in which a condition that never turned out so
    before is written in other words, or in which jumps of such a branch are: what hangs on it stands elsewhere then. A jump that goes
    from a function that gets other lines, a function that goes or is new, and what stands in it, are told by what is left.
    """
    words = _OtherWords(_Conditions(before), _Conditions(after))
    sides = {"removed": before, "added": after}
    dead = [(a.line, _function_at(sides[a.line.kind], a.line)) for a in lines if a.fate == "unreachable"]
    old, new = ([(x.text.strip(), name) for x, name in dead if x.kind == kind] for kind in sides)
    jumping = {name for _, name in old} & {name for _, name in new} & {name for text, name in (*old, *new) if _JUMPS.search(text)}
    filled = {_function_at(after, a.line) for a in lines if a.line.kind == "added"}
    reworded = {w.condition.function for w in words.reworded(a.line for a in lines)}
    for line, function in dead:
        text = line.text.strip()
        removed = line.kind == "removed"
        kept = function in (words.new if removed else words.old)
        if (removed and _JUMPS.match(text) and function in filled) or (not kept and (removed or old)):
            continue
        alike = (words.same(text, function, t, n) if removed else words.same(t, n, text, function) for t, n in (new if removed else old))
        if (line.file, function) not in told and function not in jumping | reworded and not any(alike):
            why = "no run executed it without the change" if removed else "no run executes it"
            yield Unjudged(line.file, line.line, text, f"{why}: what it does was not judged", function)


def _function_at(side: Side, line: ChangedLine) -> str:
    """The name of the function that a line of one side stands in, if some model has it."""
    functions = (f for ran in side.ran for f in ran.functions.values())
    return next((f.name for f in functions if f.at.file == line.file and f.at.line <= line.line <= f.last_line), "")


def _never(missing: Sequence[bool]) -> str:
    words = {True: "true", False: "false"}
    return "neither true nor false" if len(missing) == 2 else f"never {words[missing[0]]}"


def _is_compound(expression: ast.Expr) -> bool:
    return isinstance(expression, ast.Binary) and expression.op in ("&&", "||")


def _is_constant(expression: ast.Expr) -> bool:
    """Whether a condition is the same in every run, as `if (false)` is: it keeps nothing from being done that could have been."""
    match expression:
        case ast.Watched(condition=inner) | ast.Unary(op="!", operand=inner):
            return _is_constant(inner)
        case _:
            return isinstance(expression, ast.IntLiteral) or (isinstance(expression, ast.Name) and expression.name in ("true", "false"))


@dataclass(frozen=True)
class _Form:
    """A condition without its negations, its operands in one order, with `.` for `->`; `holds` is what the form is where it is true."""

    text: str
    holds: bool


def _form(expression: ast.Expr) -> _Form:
    match expression:
        case ast.Watched(condition=inner):
            return _form(inner)
        case ast.Unary(op="!", operand=operand):
            inside = _form(operand)
            return _Form(inside.text, not inside.holds)
        case ast.Binary(op="&&" | "||" as op):
            # a || b is !(!a && !b)
            signed = [f"{'' if part.holds == (op == '&&') else '!'}({part.text})" for part in map(_form, _operands(expression, op))]
            return _Form(" && ".join(sorted(signed, key=lambda text: (_WORD.sub("_", text), text))), op == "&&")
        case ast.Binary(op="==" | "!=" as op, left=left, right=right) if {_text(left), _text(right)} & _NOTHING:
            inside = _form(left if _text(right) in _NOTHING else right)
            return _Form(inside.text, inside.holds == (op == "!="))
        case ast.Binary(op=op, left=left, right=right) if op in ("==", "!=", "<", ">", "<=", ">="):
            plain = _FLIPPED.get(op, op)
            sides = [_text(left), _text(right)]
            if plain == ">":
                sides.reverse()
            elif plain == "==":
                sides.sort()
            return _Form(f"{sides[0]} {'==' if plain == '==' else '<'} {sides[1]}", op not in _FLIPPED)
        case _:
            return _Form(_text(expression), True)


def _operands(expression: ast.Expr, op: str) -> Iterator[ast.Expr]:
    if isinstance(expression, ast.Watched):
        yield from _operands(expression.condition, op)
    elif isinstance(expression, ast.Binary) and expression.op == op:
        yield from _operands(expression.left, op)
        yield from _operands(expression.right, op)
    else:
        yield expression


def _text(expression: ast.Expr) -> str:
    return show(expression).replace("->", ".").replace("&", "")


class _OtherWords:
    """Finds the condition that a change wrote in other words."""

    def __init__(self, before: _Conditions, after: _Conditions) -> None:
        self._before, self._later = before, after
        self.old, self.new = before.functions, after.functions
        self._forms = [(watch, self._variants(watch, self.old, self.new)) for watch in before.all]

    def so_before(self, watch: Watch, holds: bool) -> bool:
        """Whether a condition of the same meaning never turned out so before the change either."""
        mine = self._variants(watch, self.new, self.old)
        for old, theirs in self._forms:
            for their, own in ((t, m) for t in theirs for m in mine):
                alike = self.same(their.text, old.condition.function, own.text, watch.condition.function)
                if alike and (holds == (own.holds == their.holds)) in self._before.missing(old):
                    return True
        return False

    def reworded(self, changed: Iterable[ChangedLine]) -> Iterator[Watch]:
        """The conditions of a change that never turned out in some way, and did not before in other words."""
        for watch in self._later.touched(changed, "added", {}):
            if any(self.so_before(watch, holds) for holds in self._later.missing(watch)):
                yield watch

    def is_there(self, watch: Watch) -> bool:
        """Whether the first side has a condition of the same meaning that is watched."""
        mine = self._variants(watch, self.new, self.old)
        return any(
            self.same(their.text, old.condition.function, own.text, watch.condition.function)
            for old, theirs in self._forms
            for their in theirs
            for own in mine
        )

    def _variants(self, watch: Watch, own: Mapping[str, ast.Function], others: Mapping[str, ast.Function]) -> list[_Form]:
        """The forms of a condition.

        As it stands; with what the other side lacks written out: helpers that only return something, and locals that are set once; and
        of a condition in a function that the other side lacks, with the arguments of each call in place.
        """
        name, expression = watch.condition.function, watch.expression
        function = own.get(name)
        if function is not None and name in others:
            once = {k: v for k, v in _set_once(function).items() if k not in _locals(others[name])}
            expression = _put(expression, once)
        found = [_form(watch.expression), _form(_written_out(expression, own, others))]
        if function is not None and name not in others:
            names = [p.name for p in function.parameters]
            for call in _calls(own, name):
                given = _put(watch.expression, dict(zip(names, call.arguments, strict=False)))
                found.append(_form(given))
        return found

    def same(self, old: str, old_function: str, new: str, new_function: str) -> bool:
        """Whether two forms are the same up to names that the change replaced by others."""
        if old == new:
            return True
        theirs, mine = _WORD.findall(old), _WORD.findall(new)
        if _WORD.sub("_", old) != _WORD.sub("_", new):
            return False
        pairs = {(a, b) for a, b in zip(theirs, mine, strict=True) if a != b}
        return all(self._renamed(a, b, old_function, new_function) for a, b in pairs)

    def _renamed(self, old: str, new: str, old_function: str, new_function: str) -> bool:
        if old in self.old and new in self.new:
            return old not in self.new and new not in self.old and is_renamed(self.old[old], self.new[new])
        if old_function not in self.old or new_function not in self.new:
            return False
        had, has = _locals(self.old[old_function]), _locals(self.new[new_function])
        return old in had and new in has and old not in has and new not in had


def _put(expression: Any, values: Mapping[str, ast.Expr]) -> Any:
    """An expression with others in place of names."""
    if isinstance(expression, ast.Name):
        return values.get(expression.name, expression)
    if isinstance(expression, tuple):
        return tuple(_put(part, values) for part in expression)
    if not isinstance(expression, EXPRESSIONS):
        return expression
    return replace(expression, **{f.name: _put(getattr(expression, f.name), values) for f in fields(expression) if f.name != "at"})


def _written_out(expression: Any, own: Mapping[str, ast.Function], others: Mapping[str, ast.Function], depth: int = 4) -> Any:
    """An expression with calls of functions that the other side lacks replaced by what they return, if they do nothing else."""
    if isinstance(expression, tuple):
        return tuple(_written_out(part, own, others, depth) for part in expression)
    if not isinstance(expression, EXPRESSIONS):
        return expression
    inside = {f.name: _written_out(getattr(expression, f.name), own, others, depth) for f in fields(expression) if f.name != "at"}
    found = replace(expression, **inside)
    if not isinstance(found, ast.Call) or found.function not in own or found.function in others or not depth:
        return found
    function = own[found.function]
    body = [s for s in function.body.statements if not isinstance(s, ast.Mark)]
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
        return found
    given = dict(zip([p.name for p in function.parameters], found.arguments, strict=False))
    return _written_out(_put(body[0].value, given), own, others, depth - 1)


def _set_once(function: ast.Function) -> dict[str, ast.Expr]:
    """The locals of a function that are set at one place, and to what."""
    found: dict[str, list[ast.Expr]] = {}

    def visit(node: object) -> None:
        match node:
            case ast.Declare(name=name, value=value) if value is not None:
                found.setdefault(name, []).append(value)
            case ast.Assign(op=op, target=ast.Name(name=name), value=value):
                found.setdefault(name, []).extend([value] if op == "=" else [value, value])
            case ast.Step(operand=ast.Name(name=name)) | ast.Unary(op="&", operand=ast.Name(name=name)):
                found.setdefault(name, []).extend([node, node])
            case _:
                pass
        for child in children(node):
            visit(child)

    visit(function.body)
    own = _locals(function) - {p.name for p in function.parameters}
    return {name: values[0] for name, values in found.items() if name in own and len(values) == 1}


def calls_of(function: ast.Function) -> Iterator[ast.Call]:
    """The calls that stand in a function."""

    def visit(node: object) -> Iterator[ast.Call]:
        if isinstance(node, ast.Call):
            yield node
        for child in children(node):
            yield from visit(child)

    return visit(function.body)


def _calls(functions: Mapping[str, ast.Function], name: str) -> Iterator[ast.Call]:
    return (call for function in functions.values() for call in calls_of(function) if call.function == name)


def _locals(function: ast.Function) -> frozenset[str]:
    found = {p.name for p in function.parameters}

    def visit(node: object) -> None:
        if isinstance(node, ast.Declare):
            found.add(node.name)
        for child in children(node):
            visit(child)

    visit(function.body)
    return frozenset(found)


# Statements


def _lost(changed: Sequence[ChangedLine], before: Side, after: Side) -> Iterator[Unjudged]:
    """The statements that some run executed, that the change left as they are, and that no path of any model passes any more."""
    aligned = alignments(changed)
    standing = {(at.file, at.line) for ran in after.ran for at in ran.standing}
    touched = _touched(changed, before)
    gone: dict[str, dict[int, str]] = {}
    left: set[str] = set()
    for ran in before.ran:
        for at in _executed(ran, touched):
            now = aligned[at.file].after(at.line) if at.file in aligned else at.line
            if now is None:
                continue
            if (at.file, now) in standing:
                left.add(at.function)
            else:
                gone.setdefault(f"{at.file}\0{at.function}", {}).setdefault(at.line, ran.scenario)
    if not after.ran:
        return
    for key, lines in gone.items():
        file, _, function = key.partition("\0")
        texts = before.files.get(file, "").split("\n")
        for line, scenario in sorted(lines.items()):
            text = texts[line - 1].strip() if line <= len(texts) else ""
            why = f"a run of {scenario} executed it without the change, and it is on no path any more"
            if function not in left:
                yield Unjudged(file, line, f"{function}()", f"{why}, nor is any statement of this function")
                break
            yield Unjudged(file, line, text, why)


def _touched(changed: Sequence[ChangedLine], before: Side) -> frozenset[str]:
    """The names of functions without the change in which it changes something: they have marks on both sides."""
    places: dict[str, set[float]] = {}
    aligned = alignments(changed)
    for line in changed:
        # An added line stands before that one, between two lines of the file without the change.
        place = line.line if line.kind == "removed" else aligned[line.file].place_before(line.line) - 0.5
        places.setdefault(line.file, set()).add(place)
    found = set()
    for ran in before.ran:
        for name, function in ran.functions.items():
            if any(function.at.line <= n <= function.last_line for n in places.get(function.at.file, ())):
                found.add(name)
    return frozenset(found)


def _executed(ran: Ran, touched: frozenset[str]) -> Iterator[Source]:
    """Where the statements stand that some run executed; what only a mark shows counts where both sides have marks."""
    seen: set[Source] = set()
    for name in ran.fired:
        for at in ran.passed.get(name, ()):
            if at not in seen and (at.text or at.function in touched):
                seen.add(at)
                yield at
