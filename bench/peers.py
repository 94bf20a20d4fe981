"""Our engines and other people's on the same exported system, in one run: python bench/peers.py [--limit S] [QUESTION ...].

A QUESTION is good:8,4,1 (the shared table with 8 pages, 4 devices, 1 thread), bug:8,4,1 or bug2:8,4,1 (with a seeded bug), or
SCENARIO:PROPERTY, a shipped scenario at its size. Each engine is a process of its own with a limit of CPU time and of memory; what is told
is the CPU time, user and system, of whole processes: ours from the start of Python, with the model built and grounded; theirs from
the exported file on, so that our export is not charged to them. SPIN's translation and C compiler are told apart from its search.

Exit code 1: two engines contradict each other, or one contradicts what is known of the seeded bugs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tdpcheck.core.ground import GroundSystem
from tdpcheck.core.system import Property

PROVED, VIOLATED = "proved", "violated"
GIVEN_UP = ("out of time", "killed (memory)", "gave up", "no answer")
MEMORY = 6 * 2**30
# What is installed has its bytecode; a setting that forbids to keep it would charge each process with compiling the package anew.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
DEFAULT = "good:2,2,1 good:3,2,1 good:2,2,2 good:4,4,1 good:8,4,1 good:8,8,1 bug:2,2,1 bug:4,4,1 bug:8,4,1 bug2:4,4,1".split()
Question = str
Command = Sequence[str]


# What is asked. Everything that builds a system runs in a process of its own; this one only starts processes and keeps the time.


def asked(question: Question) -> tuple[GroundSystem, Property]:
    """The grounded system and the property of a question."""
    from tdpcheck.core.ground import ground

    name, _, rest = question.partition(":")
    if name in ("good", "bug", "bug2"):
        from tdpcheck.bench.shared_table import SAFE, SYSTEMS, geometry

        pages, devices, threads = map(int, rest.split(","))
        return ground(SYSTEMS[name], geometry(pages, devices, threads)), SAFE
    from tdpcheck.model.scenario import shipped_scenarios
    from tdpcheck.model.system import build, parse_source, shipped_source
    from tdpcheck.properties import PROPERTIES

    scenario = shipped_scenarios()[name]
    model = build(scenario, parse_source(shipped_source(scenario.design)))
    return ground(model.system, model.geometry), PROPERTIES[rest]


def export(question: Question, folder: Path) -> None:
    """Write the question in every language, and once more with the lemmas as part of what must hold."""
    import z3

    from tdpcheck.checker.circuits.circuit import circuit
    from tdpcheck.checker.export import promela
    from tdpcheck.checker.export.aiger import binary_aiger

    grounded, prop = asked(question)
    (folder / "m.aig").write_bytes(binary_aiger(circuit(grounded, prop), prop))
    (folder / "m.pml").write_text(promela.model(grounded, prop))
    (folder / "m.smt2").write_text(horn(grounded, prop))
    if prop.lemmas:
        strong = Property(prop.name, prop.sentence, z3.And(prop.holds, *(lemma.holds for lemma in prop.lemmas)))
        (folder / "lemmas.aig").write_bytes(binary_aiger(circuit(grounded, strong), strong))


def horn(grounded: GroundSystem, prop: Property) -> str:
    """Constrained Horn clauses: initial states are reachable, successors of reachable states are, bad ones are not. sat: it holds."""
    import z3

    from tdpcheck.checker.bounded.unroller import Unroller
    from tdpcheck.checker.export.cells import Machine

    machine = Machine(grounded, prop)
    cells = [value for _, value in machine.variables]
    reachable = z3.Function("reachable", *(value.sort() for value in cells), z3.BoolSort())
    solver = z3.SolverFor("HORN")
    first = [value == machine.starts[cell] for cell, value in machine.variables if cell in machine.starts]
    solver.add(z3.ForAll(cells, z3.Implies(z3.And(*first, machine.start_condition), reachable(*cells))))
    # Spacer's best form of this relation, measured: next values as terms in the head, and a step must be possible, or it is none.
    steps = Unroller(grounded)
    after = [steps.next_state[cell] for cell, _ in machine.variables]
    solver.add(z3.ForAll([*cells, steps.selector], z3.Implies(z3.And(reachable(*cells), steps.choice), reachable(*after))))
    solver.add(z3.ForAll(cells, z3.Implies(z3.And(reachable(*cells), machine.bad), False)))
    return f"(set-logic HORN)\n{solver.to_smt2()}"


def ours(engine: str, question: Question) -> str:
    """The answer of one of our engines, in a process of its own."""
    from tdpcheck.core.verdict import HoldsUpTo, Proved, Verdict, Violated

    def said(verdict: Verdict) -> str:
        match verdict:
            case Proved():
                return PROVED
            case Violated():
                return VIOLATED
            case HoldsUpTo(depth=depth) if engine == "bmc":
                return f"none up to {depth}"
            case HoldsUpTo():
                return "broken lemmas" if engine == "lemmas" else "gave up"
            case other:
                return f"unknown ({other.reason})"

    if engine == "lemmas":
        from tdpcheck.bench.shared_table import SAFE, SYSTEMS
        from tdpcheck.checker.every_size.induction import prove

        return said(prove(SYSTEMS[question.partition(":")[0]], SAFE))
    grounded, prop = asked(question)
    match engine:
        case "explore":
            from tdpcheck.checker.states.explore import explore

            return said(explore(grounded.system, grounded.geometry, prop, max_states=3_000_000).verdict)
        case "bmc":
            from tdpcheck.checker.bounded.bmc import bmc

            return said(bmc(grounded, prop, DEPTH))
        case "pdr" | "pdr+lemmas":
            from tdpcheck.checker.circuits.pdr import pdr

            return said(pdr(grounded, prop, seeds=None if engine == "pdr+lemmas" else ()))
        case "k-induction+lemmas" | "k-induction":
            from tdpcheck.checker.circuits.kinduction import k_induction

            return said(k_induction(grounded, prop, DEPTH, seeds=None if engine == "k-induction+lemmas" else ()))
        case _:
            raise SystemExit(f"there is no engine {engine!r} of ours")


DEPTH = 20


# Engines


@dataclass(frozen=True)
class Engine:
    """A way to an answer.

    Args:
        name: what the table calls it.
        lemmas: whether it is given the lemmas.
        commands: the processes to run one after the other; all but the last prepare (their time is told apart).
        reads: what the output of the last one means.
        needs: programs without which it cannot run.
        takes: which questions it is for.
        sizeless: its answer is about every size.
    """

    name: str
    lemmas: bool
    commands: Callable[[Question], Sequence[Command]]
    reads: Callable[[str], str]
    needs: tuple[str, ...] = ()
    takes: Callable[[Question], bool] = lambda _: True
    sizeless: bool = False


def _own(name: str, *, lemmas: bool = False, takes: Callable[[Question], bool] = lambda _: True) -> Engine:
    engine = name.partition(" ")[0]

    def commands(question: Question) -> Sequence[Command]:
        return [(sys.executable, __file__, "--ours", engine, question)]

    def reads(text: str) -> str:
        return text.strip().splitlines()[-1] if text.strip() else "no answer"

    return Engine(f"ours: {name}", lemmas, commands, reads, takes=takes, sizeless=engine == "lemmas")


def _abc(name: str, script: str, *, lemmas: bool = False, takes: Callable[[Question], bool] = lambda _: True) -> Engine:
    file = "lemmas.aig" if lemmas else "m.aig"
    return Engine(name, lemmas, lambda _: [("berkeley-abc", "-c", f"read {file}; {script}")], read_abc, ("berkeley-abc",), takes)


def read_abc(text: str) -> str:
    if re.search(r"^Property proved", text, re.MULTILINE):
        return PROVED
    if re.search(r"was asserted in frame", text):
        return VIOLATED
    found = re.search(r"No output asserted in (\d+) frames", text)
    return f"none up to {found[1]}" if found else "no answer"


def read_spin(text: str) -> str:
    if "assertion violated" in text:
        return VIOLATED
    cut = ("max search depth too small", "out of memory", "Search not completed")
    return PROVED if "errors: 0" in text and not any(word in text for word in cut) else "no answer"


def read_horn(text: str) -> str:
    words = text.split()
    if "(error" in text:
        return "refuses its input"  # and may say sat nevertheless, of what is left
    return PROVED if "sat" in words else VIOLATED if "unsat" in words else "no answer"


def _table(question: Question) -> bool:
    return question.partition(":")[0] in ("good", "bug", "bug2")


def _broken(question: Question) -> bool:
    return question.startswith("bug")


Z3 = str(Path(sys.executable).with_name("z3"))
SPIN: Sequence[Command] = [
    ("spin", "-o2", "-a", "m.pml"),
    ("gcc", "-O2", "-w", "-DSAFETY", "-DNOREDUCE", "-DCOLLAPSE", "-o", "pan", "pan.c"),
    ("./pan", "-m2000000"),
]
ENGINES = (
    _own("lemmas (every size)", lemmas=True, takes=_table),
    _own("k-induction+lemmas", lemmas=True, takes=_table),
    _own("pdr+lemmas", lemmas=True, takes=_table),
    _own("pdr"),
    _own("k-induction"),
    _own("explore"),
    _own(f"bmc to depth {DEPTH}", takes=_broken),
    _abc("ABC pdr", "pdr"),
    _abc("ABC pdr, lemmas conjoined", "pdr", lemmas=True, takes=_table),
    _abc(f"ABC bmc3 to depth {DEPTH}", f"bmc3 -F {DEPTH + 1}", takes=_broken),
    Engine("SPIN", False, lambda _: SPIN, read_spin, ("spin", "gcc")),
    Engine("Z3 Spacer", False, lambda _: [(Z3, "fp.engine=spacer", "m.smt2")], read_horn, (Z3,)),
)


def tool_versions() -> Iterator[str]:
    """The versions of all that takes part."""
    from importlib.metadata import version

    def first(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[0] if lines else "?"

    yield f"Python {sys.version.split()[0]}"
    yield from (f"{name} {version(name)}" for name in ("z3-solver", "python-sat"))
    if shutil.which("berkeley-abc"):
        banner = subprocess.run(("berkeley-abc",), input="quit\n", capture_output=True, text=True, timeout=60, check=False).stdout
        yield " ".join(re.findall(r"ABC [0-9][^ ]*", banner)[:1]) or "ABC"
    if shutil.which("spin"):
        yield first("spin", "-V")
    if shutil.which("gcc"):
        yield first("gcc", "--version")


# Running


@dataclass(frozen=True)
class Row:
    """What one engine said of one question, in so many CPU seconds."""

    question: Question
    engine: str
    lemmas: bool
    answer: str
    seconds: float = 0.0
    preparing: float = 0.0
    sizeless: bool = False


@dataclass
class Clock:
    """Runs processes and adds up their CPU time."""

    limit: float
    seconds: list[float] = field(default_factory=list)

    def run(self, command: Command, folder: Path) -> str | None:
        """The output of a process; None if it was stopped at the limit of time or memory."""

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(self.limit) + 1, int(self.limit) + 3))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        with tempfile.TemporaryFile() as output:
            # A process may sleep, and CPU time does not pass then: so there is a limit of hours on the wall, too.
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=limited,
                start_new_session=True,
            )
            give_up = time.monotonic() + 60 + 40 * self.limit
            while True:
                pid, status, used = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() > give_up:
                    os.killpg(child.pid, signal.SIGKILL)
                time.sleep(0.005)
            child.returncode = os.waitstatus_to_exitcode(status)
            self.seconds.append(used.ru_utime + used.ru_stime)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if child.returncode < 0:
            return None
        return text


def run(questions: Iterable[Question], engines: Sequence[Engine], limit: float, told: Callable[[Row], None]) -> list[Row]:
    """Ask every engine every question. One that ran out of time at a size is not asked at those that are larger in every way."""
    rows: list[Row] = []
    proofs: dict[str, Row] = {}
    for question in questions:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            exported = Clock(600)
            made = exported.run((sys.executable, __file__, "--export", str(folder), question), folder)
            if made is None or not (folder / "m.aig").exists():
                raise SystemExit(f"{question} cannot be exported: {made}")
            _add(rows, Row(question, "(our export)", False, "", exported.seconds[0]), told)
            for engine in engines:
                if not engine.takes(question):
                    continue
                missing = [program for program in engine.needs if not shutil.which(program)]
                if missing:
                    _add(rows, Row(question, engine.name, engine.lemmas, f"{missing[0]} is not installed"), told)
                elif engine.sizeless and question.partition(":")[0] in proofs:
                    known = proofs[question.partition(":")[0]]
                    _add(rows, Row(question, engine.name, engine.lemmas, known.answer, known.seconds, sizeless=True), told)
                elif any(r.engine == engine.name and r.answer in GIVEN_UP and smaller(r.question, question) for r in rows):
                    _add(rows, Row(question, engine.name, engine.lemmas, "not asked"), told)
                else:
                    row = _asked(question, engine, limit, folder)
                    if engine.sizeless:
                        proofs[question.partition(":")[0]] = row
                    _add(rows, row, told)
    return rows


def _add(rows: list[Row], row: Row, told: Callable[[Row], None]) -> None:
    rows.append(row)
    told(row)


def _asked(question: Question, engine: Engine, limit: float, folder: Path) -> Row:
    clock = Clock(limit)
    text: str | None = ""
    for command in engine.commands(question):
        text = clock.run(command, folder)
        if text is None:
            break
    answer = "killed (memory)" if text is None else engine.reads(text)
    if answer not in (PROVED, VIOLATED) and clock.seconds[-1] >= limit * 0.95:
        answer = "out of time"
    return Row(question, engine.name, engine.lemmas, answer, clock.seconds[-1], sum(clock.seconds[:-1]), engine.sizeless)


def smaller(one: Question, other: Question) -> bool:
    """Whether a question is about the same table at a size that is nowhere larger."""
    (name, _, size), (other_name, _, other_size) = one.partition(":"), other.partition(":")
    if name != other_name or not _table(one):
        return False
    return all(a <= b for a, b in zip(map(int, size.split(",")), map(int, other_size.split(",")), strict=True))


def contradictions(rows: Iterable[Row]) -> list[str]:
    """Pairs of answers of which one must be wrong, as sentences."""
    by_question: dict[Question, dict[str, list[str]]] = {}
    for row in rows:
        if row.answer in (PROVED, VIOLATED):
            by_question.setdefault(row.question, {}).setdefault(row.answer, []).append(row.engine)
    problems = []
    for question, answers in by_question.items():
        if len(answers) > 1:
            problems.append(f"{question}: {', '.join(answers[PROVED])} say proved, {', '.join(answers[VIOLATED])} say violated")
        for wrong in answers.get(VIOLATED if question.startswith("good:") else PROVED if question.startswith("bug") else "", ()):
            problems.append(f"{question}: {wrong} is wrong: it is known to be {'good' if question.startswith('good:') else 'broken'}")
    return problems


# Telling


def table(rows: Sequence[Row], limit: float) -> str:
    """The rows as a Markdown table: an engine a line, a question a column."""
    questions = list(dict.fromkeys(row.question for row in rows))
    engines = list(dict.fromkeys((row.engine, row.lemmas) for row in rows))
    found = {(row.engine, row.question): row for row in rows}
    lines = [f"| engine | lemmas given | {' | '.join(questions)} |", f"| --- | --- |{' --- |' * len(questions)}"]
    for engine, lemmas in engines:
        cells = [_cell(found.get((engine, question)), limit) for question in questions]
        lines.append(f"| {engine} | {'yes' if lemmas else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Row | None, limit: float) -> str:
    if row is None:
        return ""
    if row.answer == "out of time":
        return f"> {limit:.0f}"
    if row.answer == "not asked":
        return "-"
    time_taken = f"{row.seconds:.2f}" + (f" (+{row.preparing:.1f})" if row.preparing else "")
    return {PROVED: time_taken, VIOLATED: f"{time_taken} violated", "": time_taken}.get(row.answer, f"{time_taken} {row.answer}")


def bar(rows: Sequence[Row], limit: float) -> Iterator[str]:
    """How much faster the lemmas are than the best search without them, per proved question."""
    rivals = ("ABC pdr", "SPIN", "Z3 Spacer")
    for question in dict.fromkeys(row.question for row in rows if row.question.startswith("good:")):
        mine = next((r for r in rows if r.question == question and r.sizeless and r.answer == PROVED), None)
        theirs: Mapping[str, float] = {
            r.engine: r.seconds + r.preparing for r in rows if r.question == question and r.engine in rivals and r.answer == PROVED
        }
        if mine is None:
            continue
        if theirs:
            best = min(theirs, key=lambda name: theirs[name])
            ratio = theirs[best] / mine.seconds
            yield f"{question}: lemmas {mine.seconds:.2f} s, best of {', '.join(rivals)}: {best} {theirs[best]:.2f} s, ratio {ratio:.1f}"
        elif any(r.question == question and r.engine in rivals for r in rows):
            ratio = limit / mine.seconds
            yield f"{question}: lemmas {mine.seconds:.2f} s, none of {', '.join(rivals)} within {limit:.0f} s: ratio above {ratio:.0f}"


def main(arguments: Sequence[str], engines: Sequence[Engine] = ENGINES) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", metavar="QUESTION")
    parser.add_argument("--limit", type=float, default=120, metavar="S", help="CPU seconds for each process (120)")
    parser.add_argument("--json", metavar="FILE", help="leave the rows there, too")
    parser.add_argument("--ours", metavar="ENGINE", help=argparse.SUPPRESS)
    parser.add_argument("--export", metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.ours:
        print(ours(given.ours, given.questions[0]))
        return 0
    if given.export:
        export(given.questions[0], Path(given.export))
        return 0

    def told(row: Row) -> None:
        print(f"{row.question:<12} {row.engine:<28} {row.seconds:8.2f} s  {row.answer}", file=sys.stderr, flush=True)

    rows = run(given.questions or DEFAULT, engines, given.limit, told)
    if given.json:
        Path(given.json).write_text(json.dumps([vars(row) for row in rows], indent=1))
    print(table(rows, given.limit))
    print(
        "\nCPU seconds of whole processes; a number alone: proved; (+n): translating and compiling before it. " + "; ".join(tool_versions())
    )
    print("\n".join(bar(rows, given.limit)))
    problems = contradictions(rows)
    for problem in problems:
        print(f"DISAGREEMENT: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
