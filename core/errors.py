"""The errors of the project: all of them descend from `TdpcheckError`, and each says what to do next."""

from __future__ import annotations

TIME_IS_UP = "the time is up"
"""What is said, everywhere, of a search whose time is over; nothing looks at it (see `verdict.ReasonKind`)."""


class TdpcheckError(Exception):
    """Something that a user can act on: what was given, where, what was expected, what to do next.

    Printed as one message without a traceback; the command line ends with exit code 2.
    """


class InputError(TdpcheckError):
    """A file, patch, scenario, trace or flag that cannot be used as it is."""


class ModelError(TdpcheckError):
    """A description of a system that contradicts itself (a wrong sort, an unknown state variable, a partial relation)."""


class EngineError(TdpcheckError):
    """An engine contradicts the plain evaluator, or itself: a fault of ours, never an answer."""
