"""Where loops over leaves and roots are: what each thread has visited. The order is left open, so a proof covers every order."""

from __future__ import annotations

import z3

from ...core.system import Update, bool_var
from ...kernelc.lowering.cfg import THREADS
from .sorts import GFN, ROOT

visited = bool_var("visited", THREADS, GFN, doc="this thread's walk has been at the entry that covers the gfn")
visited_root = bool_var("visited_root", THREADS, ROOT, doc="this thread's loop has been at the root")

STATE = (visited, visited_root)


def initial() -> list[Update]:
    """Nothing is visited."""
    return [Update(var, var.variables(), z3.BoolVal(False)) for var in STATE]
