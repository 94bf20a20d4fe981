"""The proof for every size, where a model offers it: its system over uninterpreted sorts, and the lemmas of a property."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ..checker.induction import prove
from ..core.system import Property, TransitionSystem
from ..core.verdict import Verdict
from ..model.system import Model

Offer = Callable[[Property], tuple[TransitionSystem, Property] | None]
"""The system and the property as they read over uninterpreted sorts, the property with its lemmas; None where there is no argument."""


def offered(model: Model, prop: Property) -> tuple[TransitionSystem, Property] | None:
    """What a model's `parametric` has to say of a property; models without one offer nothing."""
    offer = cast(Offer | None, getattr(model, "parametric", None))
    return None if offer is None else offer(prop)


def by_lemmas(model: Model, prop: Property, *, timeout: float | None = None) -> Verdict | None:
    """The proof attempt by a property's lemmas; None if the model offers none."""
    found = offered(model, prop)
    return None if found is None else prove(*found, timeout=timeout)
