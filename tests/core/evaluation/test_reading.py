"""Terms are read once; a name that comes to stand for a later value is read anew only where it meant something before."""

from __future__ import annotations

import z3

from tdpcheck.core.evaluation.layout import Layout
from tdpcheck.core.evaluation.reading import Constant, Look, Name, Operation, Reader
from tdpcheck.core.sorts import BOOL, Geometry, Sort, StateVar
from tdpcheck.core.system import TransitionSystem

PAGE = Sort("Page")
used, flag = StateVar("used", (PAGE,), BOOL), StateVar("flag", (), BOOL)
SYSTEM = TransitionSystem("pages", (PAGE,), (used, flag), (), ())


def reader() -> Reader:
    return Reader(Layout(SYSTEM, Geometry({"Page": 3})))


def test_what_was_read_is_not_read_again_for_a_name_without_a_meaning_of_its_own() -> None:
    reads, p, q = reader(), PAGE.const("p"), PAGE.const("q")
    first = reads.read(used(p), [p])
    assert reads.read(used(p), [p, q]) is first
    assert isinstance(first, Look)
    assert isinstance(first.parts[0], Name)


def test_a_constant_that_nobody_declares_is_the_same_before_and_after_it_becomes_a_name() -> None:
    reads, p = reader(), PAGE.const("p")
    before = reads.read(used(p))
    after = reads.read(used(p), [p])
    assert isinstance(before, Look)
    assert isinstance(after, Look)
    assert [(type(part), part.names) for part in before.parts] == [(type(part), part.names) for part in after.parts]


def test_a_name_that_is_called_like_a_variable_or_an_element_is_read_anew() -> None:
    reads = reader()
    for term, name, was in ((z3.And(flag(), used(PAGE.element(1))), flag(), Look), (used(PAGE.element(2)), PAGE.element(2), Constant)):
        before = reads.read(term)
        assert isinstance(before, Operation | Look)
        assert isinstance(before.parts[0], was)
        after = reads.read(term, [name])
        assert isinstance(after, Operation | Look)
        assert isinstance(after.parts[0], Name)
