"""Mutants of a certificate that know its structure: what somebody might do to it who wants something false to be accepted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from tdpcheck.recheck.sexpr import read, write

Tree = Any
Commands = list[Tree]

SMUGGLED = (
    "(assert false)", "(assert |lemma a|)", "(check-sat)", "(exit)", "(push 1)", "(pop 1)", "(reset)", "(set-logic ALL)", "(set-logic UF)",
    "(set-option :global-declarations true)", "(define-fun-rec r () Bool (not r))", "(declare-const y Bool)", "(define-sort T () Bool)",
    "(declare-datatypes ((T 0)) (((a) (b))))", "(declare-fun and (Bool Bool) Bool)", "(define-fun not ((y Bool)) Bool y)",
    "(define-fun true () Bool false)", "(declare-sort Bool 0)", '(set-info :property "q")', '(set-info :kind "grounded")', "()", "x",
    "(set-info :uses (initially))", "(define-fun |axiom 99| () Bool false)", "(define-fun |init 99| () Bool false)",
    "(define-fun |guard x| () Bool false)", "(define-fun |lemma x| () Bool false)", "(define-fun |property x| () Bool true)",
    "(define-fun $1 () Bool false)", "(define-fun |some 99| () Bool (exists ((q Bool)) q))", "(declare-fun |some 99:0| () Bool)",
)  # fmt: skip
ODD = (
    "|x |",
    "| x|",
    "|x)|",
    "|(x|",
    "|a b|",
    "|x'|",
    "$l1",
    "$1",
    "||",
    "|and|",
    "select",
    "Int",
    "not",
    "true",
    "bv1",
    "#b1",
    "1",
    ":x",
    '"x"',
    "%",
)


class Mutator:
    """Draws mutants of one certificate.

    Args:
        text: a good certificate.
    """

    def __init__(self, text: str, rng: random.Random) -> None:
        self._commands: Commands = read(text)
        self._rng = rng
        self._terms = [t for c in self._commands if c[0] == "define-fun" for t in _subterms(c[4])]
        self._small = [t for t in self._terms if len(write(t)) < 200]
        self._symbols = sorted({x for c in self._commands for x in _atoms(c) if not x.startswith((":", '"'))})

    def draw(self) -> str:
        """A mutant; most have one change, some two or three."""
        commands: Commands = _copied(self._commands)
        for _ in range(self._rng.choice((1, 1, 1, 2, 3))):
            self._rng.choice(_CHANGES)(self, commands)
        text = "\n".join(map(write, commands)) + "\n"
        return self._typo(text) if self._rng.random() < 0.05 else text

    def _typo(self, text: str) -> str:
        place = self._rng.randrange(len(text))
        return text[:place] + self._rng.choice("()|\"; x\t\r\0\\!$'") + text[place + self._rng.randrange(2) :]

    def _definition(self, commands: Commands, *parts: str) -> Tree:
        made = [
            c
            for c in commands
            if isinstance(c, list) and len(c) == 5 and c[0] == "define-fun" and c[1].startswith(tuple(f"|{p} " for p in parts))
        ]
        return self._rng.choice(made) if made else None

    def _any(self, commands: Commands) -> Tree:
        return self._definition(commands, "axiom", "init", "guard", "next", "property", "lemma", "some")

    def _place(self, commands: Commands, made: Tree) -> tuple[list[Tree], int]:
        """Where a subterm of a definition stands."""
        places = [(made, 4), *_places(made[4])]
        return self._rng.choice(places)

    # What is done

    def drop(self, commands: Commands) -> None:
        del commands[self._rng.randrange(len(commands))]

    def drop_clause(self, commands: Commands) -> None:
        made = self._definition(commands, "lemma")
        if made is not None:
            commands.remove(made)
            if self._rng.random() < 0.5:
                commands[:] = [c for c in commands if c[:2] not in (["set-info", ":says"], ["set-info", ":because"])]

    def drop_action(self, commands: Commands) -> None:
        made = self._definition(commands, "guard")
        if made is not None:
            action = made[1].strip("|").partition(" ")[2]
            mine = {f"|guard {action}|", action, f"|{action}|"}
            commands[:] = [
                c for c in commands if not (_named(c) in mine or _named(c).startswith((f"|next {action} ", f"|parameter {action} ")))
            ]

    def twice(self, commands: Commands) -> None:
        commands.insert(self._rng.randrange(len(commands)), _copied(self._rng.choice(commands)))

    def swap(self, commands: Commands) -> None:
        a, b = self._rng.randrange(len(commands)), self._rng.randrange(len(commands))
        commands[a], commands[b] = commands[b], commands[a]

    def move(self, commands: Commands) -> None:
        commands.insert(self._rng.randrange(len(commands)), commands.pop(self._rng.randrange(len(commands))))

    def smuggle(self, commands: Commands) -> None:
        commands.insert(self._rng.randrange(len(commands) + 1), self._rng.choice(SMUGGLED))

    def flip(self, commands: Commands) -> None:
        self._wrapped(commands, lambda term: ["not", term])

    def nest(self, commands: Commands) -> None:
        ways: tuple[Callable[[Tree], Tree], ...] = (
            lambda term: ["not", ["not", term]],
            lambda term: ["and", term, term],
            lambda term: ["ite", "true", term, term],
            lambda term: ["or", term, "false"],
            lambda term: [term],
            lambda term: ["!", term, ":named", "x"],
        )
        self._wrapped(commands, self._rng.choice(ways))

    def let(self, commands: Commands) -> None:
        name = self._rng.choice(("$l999", "$l1", self._symbol(), "x"))
        other = self._rng.choice((name, "true", "false", self._symbol()))
        self._wrapped(commands, lambda term: ["let", [[name, term]], self._rng.choice((name, term, other))])

    def bind(self, commands: Commands) -> None:
        sorts = [c[1] for c in commands if c[:1] == ["declare-sort"]] or ["Bool"]
        name, word = self._rng.choice((self._symbol(), "v", "Page?0")), self._rng.choice(("forall", "exists"))
        self._wrapped(commands, lambda term: [word, [[name, self._rng.choice(sorts)]], term])

    def _wrapped(self, commands: Commands, by: Callable[[Tree], Tree]) -> None:
        made = self._any(commands)
        if made is not None:
            inside, place = self._place(commands, made)
            inside[place] = by(inside[place])

    def put(self, commands: Commands) -> None:
        """A subterm of the file in the place of another."""
        made = self._any(commands)
        if made is not None:
            inside, place = self._place(commands, made)
            inside[place] = self._rng.choice((_copied(self._rng.choice(self._small)), "true", "false", self._symbol()))

    def turn(self, commands: Commands) -> None:
        """The arguments of a term in another order."""
        made = self._any(commands)
        lists = [x for x in ([] if made is None else _subterms(made[4])) if isinstance(x, list) and len(x) > 2]
        if lists:
            chosen = self._rng.choice(lists)
            a, b = self._rng.randrange(1, len(chosen)), self._rng.randrange(1, len(chosen))
            chosen[a], chosen[b] = chosen[b], chosen[a]

    def whole(self, commands: Commands) -> None:
        """A guard, an update, an axiom, a property or a clause that says something else."""
        made = self._any(commands)
        if made is not None:
            made[4] = self._rng.choice(
                ("true", "false", ["and", made[4], _copied(self._rng.choice(self._small))], _copied(self._rng.choice(self._small)))
            )

    def no_change(self, commands: Commands) -> None:
        made = self._definition(commands, "next")
        if made is not None:
            function = made[1].strip("|").split(" ")[-1]
            names = [p[0] for p in made[2] if isinstance(p, list) and p]
            made[4] = [function, *names] if names else function

    def axiom(self, commands: Commands) -> None:
        """What is true of some states, supposed of all."""
        made = self._definition(commands, "lemma", "init", "property", "guard")
        if made is not None:
            number = self._rng.randrange(90, 99)
            new = ["define-fun", f"|axiom {number}|", [], "Bool", _copied(made[4])]
            first = next((n for n, c in enumerate(commands) if _named(c).startswith("|init ")), 0)
            commands.insert(first, new)
            if self._rng.random() < 0.3:
                commands.remove(made)

    def share(self, commands: Commands) -> None:
        """A subterm with a name of its own."""
        made = self._any(commands)
        if made is not None:
            inside, place = self._place(commands, made)
            name = f"${self._rng.choice((1, 2, 9999))}"
            commands.insert(next(n for n, c in enumerate(commands) if c is made), ["define-fun", name, [], "Bool", inside[place]])
            inside[place] = name

    def rename(self, commands: Commands) -> None:
        """One symbol, in one place or in all, is another."""
        old, new = self._symbol(), self._rng.choice((self._symbol(), self._rng.choice(ODD), self._symbol()))
        places = [place for command in commands for place in _token_places(command, old)]
        if places and self._rng.random() < 0.6:
            places = [self._rng.choice(places)]
        for inside, number in places:
            inside[number] = new

    def requote(self, commands: Commands) -> None:
        old = self._symbol()
        plain = old.strip("|")
        new = self._rng.choice(
            (f"|{plain}|", plain.replace(" ", "_"), f"|{plain} |", f"| {plain}|", f"|{plain.replace(' ', '  ')}|", plain.upper())
        )
        places = [place for command in commands for place in _token_places(command, old)]
        for inside, number in places if self._rng.random() < 0.5 else places[-1:]:
            inside[number] = new

    def shadow(self, commands: Commands) -> None:
        """A bound variable, with all that speaks of it, is called like something else."""
        made = self._any(commands)
        binders = [
            x for x in ([] if made is None else _subterms(made)) if isinstance(x, list) and x and x[0] in ("forall", "exists", "let")
        ]
        if binders:
            chosen = self._rng.choice(binders)
            if isinstance(chosen[1], list) and chosen[1] and isinstance(chosen[1][0], list) and chosen[1][0]:
                old, new = chosen[1][0][0], self._symbol()
                for inside, number in list(_token_places(chosen, old)) if isinstance(old, str) else []:
                    inside[number] = new

    def redeclare(self, commands: Commands) -> None:
        name = self._symbol()
        sort = self._rng.choice(("Bool", self._symbol()))
        new = self._rng.choice(
            (
                ["declare-fun", name, [], sort],
                ["define-fun", name, [], "Bool", "true"],
                ["declare-sort", name, "0"],
                ["declare-fun", name, [sort], "Bool"],
            )
        )
        commands.insert(self._rng.randrange(len(commands)), new)

    def head(self, commands: Commands) -> None:
        heads = [c for c in commands if c[:1] == ["set-info"] and len(c) == 3 and isinstance(c[2], str)]
        if heads:
            chosen = self._rng.choice(heads)
            chosen[2] = self._rng.choice(
                ('"every size"', '"grounded"', '"instantiated"', '"parametric"', '"no_stale_io_mapping"', '"Page=1"', "1", "x")
            )

    def proof(self, commands: Commands) -> None:
        """What stands behind the invariant says something else: an instance less or more, another term, another start."""
        behind = [c for c in commands if c[:1] == ["set-info"] and len(c) == 3 and isinstance(c[2], list) and len(c[2]) > 1]
        if not behind:
            return self.put(commands)
        inside = self._rng.choice(behind)[2]
        place = self._rng.randrange(len(inside))
        match self._rng.randrange(5):
            case 0:
                del inside[place]
            case 1:
                inside.append(_copied(inside[place]))
            case 2:
                inside[place] = self._rng.choice((self._symbol(), "0", "1", "true", "false", []))
            case 3:
                atoms = [p for x in inside if isinstance(x, list) for t in x for p in _token_places(x, t) if isinstance(t, str)]
                if atoms:
                    where, number = self._rng.choice(atoms)
                    where[number] = self._rng.choice((self._symbol(), _copied(self._rng.choice(self._small))))
            case _:
                clauses = [c[1] for c in commands if c[:1] == ["define-fun"]]
                inside.append([self._rng.choice(clauses), *(self._symbol() for _ in range(self._rng.randrange(3)))])
        return None

    def _symbol(self) -> str:
        return self._rng.choice(self._symbols)


_NAMES = (
    "drop drop_clause drop_action twice swap move smuggle flip nest let bind put put turn whole whole no_change axiom share "
    "rename rename requote shadow redeclare head proof proof"
)
_CHANGES: tuple[Callable[[Mutator, Commands], None], ...] = tuple(getattr(Mutator, name) for name in _NAMES.split())


def _named(command: Tree) -> str:
    return command[1] if isinstance(command, list) and len(command) > 1 and isinstance(command[1], str) else ""


def _copied(tree: Tree) -> Tree:
    return [_copied(x) for x in tree] if isinstance(tree, list) else tree


def _subterms(tree: Tree) -> Iterator[Tree]:
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, list):
            todo += node[1:]


def _atoms(tree: Tree) -> Iterator[str]:
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        else:
            yield node


def _places(tree: Tree) -> Iterator[tuple[list[Tree], int]]:
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            yield from ((node, number) for number in range(1, len(node)))
            todo += node


def _token_places(tree: Tree, token: str) -> Iterator[tuple[list[Tree], int]]:
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            for number, child in enumerate(node):
                if child == token and isinstance(child, str):
                    yield node, number
            todo += [child for child in node if isinstance(child, list)]
