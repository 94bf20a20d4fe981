"""Three SMT solvers behind one small face: send definitions, open a scope, ask. What is not an explicit answer is `unknown`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..core.errors import TIME_IS_UP, InputError
from .sexpr import spelled

SOLVERS = ("z3", "cvc5", "bitwuzla")


Kind = Literal["", "time-out", "memory", "solver-gave-up", "argument", "engine-died"]
"""Why there is no answer, for code; '' where there is one. The words are those of `ReasonKind`, of which this room knows nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a solver said; of `unknown`, `reason` says why for people, and `kind` for code."""

    word: Literal["sat", "unsat", "unknown"]
    reason: str = ""
    kind: Kind = ""


LATE = Answer("unknown", TIME_IS_UP, "time-out")


def _refusal(solver: str, said: str) -> Exception:
    """What to raise when a solver does not take a text."""
    if "bad_alloc" in said or "out of memory" in said.lower() or said == "Unknown exception":  # cvc5 has no other words for it
        return MemoryError(said)
    return InputError(f"{solver} does not accept the certificate: {' '.join(said.split())[:300]}")


class Session(ABC):
    """One solver process's talk: text in, answers out.

    Args:
        per_query: seconds for one question.
        deadline: when (by `time.monotonic`) everything must be done.
    """

    version = ""

    def __init__(self, per_query: float, deadline: float | None) -> None:
        self._per_query = per_query
        self.deadline = deadline
        self.queries = 0
        self.about = ""

    def send(self, text: str) -> None:
        """Declarations, definitions and assertions, as a certificate writes them; the solver is shown names that are no words of its own.

        Raises:
            InputError: the solver does not accept them.
            MemoryError: it has not enough memory for them.
        """
        self._send(spelled(text))

    @abstractmethod
    def _send(self, text: str) -> None:
        """Commands as the solver is shown them."""

    @abstractmethod
    def _check(self, seconds: float, sat: bool) -> Answer:
        """Whether what was asserted is satisfiable; `sat` when that is what is expected."""

    @contextmanager
    def scope(self, terms: Sequence[str]) -> Iterator[None]:
        """Assert `terms` for a while."""
        self.send("(push 1)\n" + "".join(f"(assert {term})\n" for term in terms))
        try:
            yield
        finally:
            self.send("(pop 1)\n")

    def ask(self, terms: Sequence[str], *, about: str, sat: bool = False) -> Answer:
        """Whether the terms can be true together with what was asserted before.

        Args:
            about: the step that is asked about.
            sat: expect that they can; a solver may search in another way then.
        """
        seconds = self._per_query if self.deadline is None else min(self._per_query, self.deadline - time.monotonic())
        if seconds <= 0:
            return LATE
        self.queries += 1
        self.about = about
        with self.scope(terms):
            return self._check(seconds, sat)


def open_session(solver: str, kind: str, per_query: float, deadline: float | None) -> Session:
    """A session with a solver for a kind of certificate.

    Raises:
        InputError: there is no such solver, or it cannot read this kind.
    """
    if solver not in SOLVERS:
        raise InputError(f"there is no solver {solver!r}; there are {', '.join(SOLVERS)}")
    if solver == "bitwuzla" and kind != "grounded":
        raise InputError("bitwuzla knows no uninterpreted sorts with quantifiers; check a parametric certificate with z3 and cvc5")
    chosen: type[_Z3] | type[_Cvc5] | type[_Bitwuzla] = _Z3 if solver == "z3" else _Cvc5 if solver == "cvc5" else _Bitwuzla
    return chosen(kind, per_query, deadline)


_Z3_BEGINS = {
    "grounded": "(set-logic QF_FD)\n",
    "parametric": "(set-logic UF)\n(set-option :smt.mbqi true)\n",
    "instantiated": "(set-logic QF_UF)\n",
}
_CVC5_LOGICS = {"grounded": "QF_BV", "parametric": "UF", "instantiated": "QF_UF"}


class _Z3(Session):
    def __init__(self, kind: str, per_query: float, deadline: float | None) -> None:
        super().__init__(per_query, deadline)
        import z3

        self._z3: Any = z3
        self.version = z3.get_version_string()
        self._context = z3.Context()
        self._send(_Z3_BEGINS[kind])

    def _evaluate(self, text: str) -> str:
        try:
            return str(self._z3.z3core.Z3_eval_smtlib2_string(self._context.ref(), text))
        except self._z3.Z3Exception as error:
            said = error.value
            raise _refusal("z3", said.decode() if isinstance(said, bytes) else str(said)) from None

    def _send(self, text: str) -> None:
        said = self._evaluate(text).strip()
        if said:
            raise _refusal("z3", said)

    def _check(self, seconds: float, sat: bool) -> Answer:
        said = self._evaluate(f"(set-option :timeout {max(1, int(seconds * 1000))})\n(check-sat)\n").strip()
        if said in ("sat", "unsat"):
            return Answer("sat" if said == "sat" else "unsat")
        reason = self._evaluate("(get-info :reason-unknown)").strip() if said == "unknown" else said
        return LATE if "timeout" in reason or "canceled" in reason else Answer("unknown", reason[:200], "solver-gave-up")


class _Cvc5(Session):
    """cvc5 has several ways with quantifiers, and what one cannot decide another may: they are tried in turn."""

    WAYS: ClassVar[dict[str, tuple[dict[str, str], ...]]] = {
        "parametric": ({"mbqi": "true"}, {"finite-model-find": "true"}, {"full-saturate-quant": "true"}),
        "grounded": ({},),
        "instantiated": ({},),
    }

    def __init__(self, kind: str, per_query: float, deadline: float | None) -> None:
        super().__init__(per_query, deadline)
        import cvc5

        self._cvc5: Any = cvc5
        self._kind = kind
        self._said: list[list[str]] = [[]]  # what holds in each open scope, for a solver that joins later
        self._solvers: dict[int, tuple[Any, Any]] = {}
        self.version = self._way(0)[0].getVersion().decode().partition("-")[0]

    def _way(self, number: int) -> tuple[Any, Any]:
        """The solver that searches in the way of that number, told all that holds."""
        if number not in self._solvers:
            solver = self._cvc5.Solver()
            solver.setOption("incremental", "true")
            for key, value in self.WAYS[self._kind][number].items():
                solver.setOption(key, value)
            solver.setLogic(_CVC5_LOGICS[self._kind])
            self._solvers[number] = solver, self._cvc5.InputParser(solver)
            for depth, scope in enumerate(self._said):
                self._tell(number, ("(push 1)\n" if depth else "") + "".join(scope))
        return self._solvers[number]

    def _send(self, text: str) -> None:
        if text.startswith("(push"):
            self._said.append([text.partition("\n")[2]])
        elif text.startswith("(pop"):
            self._said.pop()
        else:
            self._said[-1].append(text)
        for number in self._solvers:
            self._tell(number, text)

    def _tell(self, number: int, text: str) -> None:
        solver, parser = self._solvers[number]
        try:
            parser.setStringInput(self._cvc5.InputLanguage.SMT_LIB_2_6, text, "certificate")
            while not (command := parser.nextCommand()).isNull():
                said = str(command.invoke(solver, parser.getSymbolManager())).strip()
                if said:
                    raise _refusal("cvc5", said)
        except RuntimeError as error:
            raise _refusal("cvc5", str(error)) from None

    def _check(self, seconds: float, sat: bool) -> Answer:
        until = time.monotonic() + seconds
        ways = len(self.WAYS[self._kind])
        answer = LATE
        for number in range(ways):
            left = until - time.monotonic()
            if left <= 0:
                break
            answer = self._asked(number, left if number == ways - 1 else left / 2)
            if answer.word != "unknown":
                break
        return answer

    def _asked(self, number: int, seconds: float) -> Answer:
        solver, _ = self._way(number)
        solver.setOption("tlimit-per", str(max(1, int(seconds * 1000))))
        result = solver.checkSat()
        if result.isSat() or result.isUnsat():
            return Answer("sat" if result.isSat() else "unsat")
        explanation = result.getUnknownExplanation()
        late = explanation == self._cvc5.UnknownExplanation.TIMEOUT
        return LATE if late else Answer("unknown", str(explanation).rpartition(".")[2].lower(), "solver-gave-up")


class _Bitwuzla(Session):
    def __init__(self, kind: str, per_query: float, deadline: float | None) -> None:
        super().__init__(per_query, deadline)
        import bitwuzla

        self._bitwuzla: Any = bitwuzla
        self.version = bitwuzla.version()
        self._parser = bitwuzla.Parser(bitwuzla.TermManager(), bitwuzla.Options())
        self._send("(set-logic QF_BV)\n")
        self._solver = self._parser.bitwuzla()

    def _send(self, text: str) -> None:
        try:
            self._parser.parse(text, False, False)
        except self._bitwuzla.BitwuzlaException as error:
            raise _refusal("bitwuzla", str(error)) from None

    def _check(self, seconds: float, sat: bool) -> Answer:
        until = time.monotonic() + seconds
        self._solver.configure_terminator(lambda: time.monotonic() > until)
        result = self._solver.check_sat()
        if result == self._bitwuzla.Result.SAT:
            return Answer("sat")
        return Answer("unsat") if result == self._bitwuzla.Result.UNSAT else LATE
