"""Z3's errors, looked for where Z3 says that there was one.

Z3's Python asks the library after every call whether it failed; that is one call more for each, and up to a tenth of all the time that is
spent here. The library also calls a handler when it fails, before it returns: what the handler noted is asked instead. That is done for
Z3's main context alone, which lives as long as the process; of others the library is asked after every call, as ever.

The handler is a method of a dictionary that replaces a number which stands there: nothing of Python's is interpreted, so that no interrupt
can come in between, and next to nothing is allocated, so that a lack of memory is noted, too.
"""

from __future__ import annotations

from typing import Any

import z3
from z3 import z3core

_main = z3.main_ctx()
_reference = _main.ref()
_PLACE = int(_reference.value)
_noted: dict[int, int] = {_PLACE: z3.Z3_OK}
_ask: Any = z3core.Elementaries.Check


def _check(elementary: Any, context: Any) -> None:
    """What `Elementaries.Check` does: raise an error of the last call.

    Raises:
        z3.Z3Exception: it failed.
    """
    if context is _reference:
        if not _noted[_PLACE]:
            return
        _noted[_PLACE] = z3.Z3_OK
    _ask(elementary, context)


def _install() -> None:
    if z3core.Elementaries.Check is not _check:
        # Kept where Z3 keeps its own, so that it lives as long as the context.
        _main.eh = z3core.Z3_set_error_handler(_reference, _noted.__setitem__)
        z3core.Elementaries.Check = _check


_install()
