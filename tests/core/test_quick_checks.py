"""An error of Z3's is raised whoever looks for it, and only where there is one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import z3
from z3 import z3core

from tdpcheck.core import quick_checks


def narrow(context: z3.Context) -> None:
    """Adds words of two widths, without Python's own look at them."""
    one, other = z3.BitVec("one", 2, context), z3.BitVec("other", 3, context)
    z3core.Z3_mk_bvadd(context.ref(), one.as_ast(), other.as_ast())


def unread(context: z3.Context) -> None:
    z3.parse_smt2_string("(assert (what is this", ctx=context)


def unknown_tactic(context: z3.Context) -> None:
    z3.Tactic("no_such_tactic", context)


def out_of_range(context: z3.Context) -> None:
    z3core.Z3_get_app_arg(context.ref(), z3.BoolVal(True, context).as_ast(), 7)


FAULTS = (narrow, unread, unknown_tactic, out_of_range)


def message(fault: Callable[[z3.Context], None], context: z3.Context) -> str:
    with pytest.raises(z3.Z3Exception) as raised:
        fault(context)
    return str(raised.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_is_raised_with_the_words_that_z3_has_for_it(fault: Callable[[z3.Context], None], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [message(fault, z3.main_ctx()) for _ in range(3)]
    other = message(fault, z3.Context())
    monkeypatch.setattr(z3core.Elementaries, "Check", quick_checks._ask)
    assert {message(fault, z3.main_ctx())} == {*found, other}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_an_error_what_is_right_goes_on(fault: Callable[[z3.Context], None]) -> None:
    message(fault, z3.main_ctx())
    x = z3.Int("x")
    solver = z3.Solver()
    solver.add(x > 2, x < 4)
    assert solver.check() == z3.sat
    assert solver.model()[x].as_long() == 3


def test_an_error_that_nobody_looked_for_is_not_raised_of_a_later_call() -> None:
    context = z3.main_ctx()
    truth = z3.BoolVal(True)
    z3core.Z3_get_app_arg.__defaults__[0].f(context.ref(), truth.as_ast(), 7)
    assert quick_checks._noted[quick_checks._PLACE]
    assert z3.is_true(z3.simplify(z3.And(truth, truth)))


def test_the_library_is_asked_after_each_call_in_any_other_context(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(quick_checks, "_ask", lambda elementary, context: asked.append(context))
    other = z3.Context()
    z3.BoolVal(True, other)
    assert asked
    asked.clear()
    z3.BoolVal(True)
    assert not asked


def test_it_is_quicker() -> None:
    def spent() -> float:
        begun = time.process_time()
        for _ in range(20_000):
            z3core.Z3_get_ast_kind(context, term)
        return time.process_time() - begun

    context, term = z3.main_ctx().ref(), z3.BoolVal(True).as_ast()
    quick = min(spent() for _ in range(3))
    z3core.Elementaries.Check = quick_checks._ask
    try:
        slow = min(spent() for _ in range(3))
    finally:
        z3core.Elementaries.Check = quick_checks._check
    assert quick < slow


def test_a_context_that_was_there_before_is_checked_as_well() -> None:
    program = (
        "import z3\nx = z3.BitVec('x', 2); y = z3.BitVec('y', 3); other = z3.Context()\n"
        "import tdpcheck.core.shape\nfrom z3 import z3core\n"
        "for context in (z3.main_ctx(), other):\n"
        "    a, b = z3.BitVec('x', 2, context), z3.BitVec('y', 3, context)\n"
        "    try: z3core.Z3_mk_bvadd(context.ref(), a.as_ast(), b.as_ast()); print('not seen')\n"
        "    except z3.Z3Exception: print('seen')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["seen", "seen"]
