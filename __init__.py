"""A formal model checker for page tables that KVM and an IOMMU share: a change goes in, a verdict comes out.

This is the public face: `verify`, `replay`, `museum`, `explain` ask what the command line asks; the nouns after them are for systems of
one's own. Each name is imported when it is first used; docs/api.md documents them all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api.change import Change
    from .api.explain import Explanation, explain
    from .api.museum import museum, museum_items
    from .api.replay import Replay, replay
    from .api.scenarios import property_named, property_names, scenario, scenario_names
    from .api.verify import Answer, Run, verify
    from .checker.certificates.certificate import grounded, parametric, statement_of
    from .checker.certificates.explored import explored_invariant
    from .checker.circuits.pdr import pdr
    from .checker.every_size.induction import prove
    from .checker.states.explore import explore, reachable
    from .core.errors import InputError, TdpcheckError
    from .core.evaluate import Evaluator
    from .core.ground import ground
    from .core.sorts import BOOL, Geometry, Rigid, Sort, StateVar, Word
    from .core.system import Action, Lemma, Param, Property, TransitionSystem, Update, bool_var, set_at, set_where, truth
    from .core.trace import Step, Trace, misfit, replays
    from .core.verdict import HoldsUpTo, Proved, Unknown, Verdict, Violated
    from .counterexamples.schema import Cex
    from .model.scenario import Scenario
    from .recheck.questions import check_certificate

_HOME = {
    "api.change": ("Change",),
    "api.explain": ("Explanation", "explain"),
    "api.museum": ("museum", "museum_items"),
    "api.replay": ("Replay", "replay"),
    "api.scenarios": ("property_named", "property_names", "scenario", "scenario_names"),
    "api.verify": ("Answer", "Run", "verify"),
    "checker.certificates.certificate": ("grounded", "parametric", "statement_of"),
    "checker.certificates.explored": ("explored_invariant",),
    "checker.circuits.pdr": ("pdr",),
    "checker.every_size.induction": ("prove",),
    "checker.states.explore": ("explore", "reachable"),
    "core.errors": ("InputError", "TdpcheckError"),
    "core.evaluate": ("Evaluator",),
    "core.ground": ("ground",),
    "core.sorts": ("BOOL", "Geometry", "Rigid", "Sort", "StateVar", "Word"),
    "core.system": ("Action", "Lemma", "Param", "Property", "TransitionSystem", "Update", "bool_var", "set_at", "set_where", "truth"),
    "core.trace": ("Step", "Trace", "misfit", "replays"),
    "core.verdict": ("HoldsUpTo", "Proved", "Unknown", "Verdict", "Violated"),
    "counterexamples.schema": ("Cex",),
    "model.scenario": ("Scenario",),
    "recheck.questions": ("check_certificate",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BOOL", "Action", "Answer", "Cex", "Change", "Evaluator", "Explanation", "Geometry", "HoldsUpTo", "InputError", "Lemma", "Param",
    "Property", "Proved", "Replay", "Rigid", "Run", "Scenario", "Sort", "StateVar", "Step", "TdpcheckError", "Trace", "TransitionSystem",
    "Unknown", "Update", "Verdict", "Violated", "Word", "bool_var", "check_certificate", "explain", "explore", "explored_invariant",
    "ground", "grounded", "misfit", "museum", "museum_items", "parametric", "pdr", "property_named", "property_names", "prove",
    "reachable", "replay", "replays", "scenario", "scenario_names", "set_at", "set_where", "statement_of", "truth", "verify",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    found: object = getattr(import_module(f".{_MODULE[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
