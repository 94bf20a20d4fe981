"""Puts a transition system together from a scenario: kernel C for the threads, the machine around them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import z3
from msgspec.structs import replace as replace_fields

from ..core.alike import alike, did_you_mean
from ..core.errors import InputError
from ..core.sorts import Geometry, Rigid, Sort, Word
from ..core.system import Source, TransitionSystem
from ..kernelc.lowering.cfg import Graph, Local
from ..kernelc.lowering.library import BOOLEAN, Handle, Library, Value
from ..kernelc.lowering.once import lowered
from ..kernelc.stepping.footprint import Machine
from ..kernelc.stepping.joined import JoinedPaths
from ..kernelc.stepping.paths import Paths
from ..kernelc.stepping.steps import Condition, Software, compile_threads
from ..kernelc.stepping.variants import by_value
from ..kernelc.text import ast
from ..kernelc.text.parse import parse
from .beyond import refuse_beyond
from .fitted import fitted
from .intrinsics import LIBRARY, memory, types
from .machine import parts, sorts, tables
from .machine.spaces import SHARED, Spaces
from .own_state import OwnState, own_state, refusal_of, spaces_of
from .queue_depth import queue_depth
from .scenario import Hardware, Scenario, Sizes, Space, Start, Thread

KERNEL = Path(__file__).parent / "kernel"


@dataclass(frozen=True)
class KernelSource:
    """The C text of a design: file names to text, later files overriding the functions of earlier ones."""

    design: str
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """A short hash of the text."""
        joined = "\0".join(f"{name}\0{text}" for name, text in self.files.items())
        return hashlib.sha256(joined.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Code:
    """Parsed kernel C: its functions and structs, and which of them came from a real kernel tree.

    Args:
        lifted: functions as they stand in a kernel tree; `ours`, those of our own that stand beside them.
        own: the state that it declares itself.
        sized: for code that computes with frame numbers, the library at a scenario's geometry.
    """

    functions: Mapping[str, ast.Function]
    structs: Mapping[str, ast.Struct]
    broken: Mapping[str, Exception]
    library: Library = LIBRARY
    lifted: tuple[str, ...] = ()
    kernel: str = "shipped"
    digest: str = ""
    arguments: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    ours: tuple[str, ...] = ()
    own: OwnState | None = None
    sized: Callable[[Scenario], Sized] | None = None

    def at(self, scenario: Scenario) -> Code:
        """This code with the library that it has at the scenario's geometry and in its spaces.

        Raises:
            InputError: a space names a lock or a notifier that the code does not declare; or this is lifted code, which knows one space.
        """
        if self.sized is not None and scenario.space:
            raise InputError(f"scenario {scenario.name}: [[space]] is for kernel C of one's own; a real kernel's shares its table")
        if self.sized is not None:
            sized = self.sized(scenario)
            return replace(self, library=sized.library, own=sized.own)
        if not scenario.space:
            return self
        stores = {call.name: call for call in memory.writing(self.spaces(scenario))}
        return replace(self, library=replace(self.library, intrinsics={**self.library.intrinsics, **stores}))

    def spaces(self, scenario: Scenario) -> Spaces:
        """Who walks which roots. Raises InputError as `at`."""
        return spaces_of(scenario, self.own)

    def rigids(self, scenario: Scenario) -> tuple[Rigid, ...]:
        """The functions that this code's library adds to the machine's."""
        return () if self.sized is None else self.sized(scenario).rigids


@dataclass(frozen=True)
class Sized:
    """A library made for one geometry, the functions that its meanings use, and the state that a scenario's threads bring with them."""

    library: Library
    rigids: tuple[Rigid, ...] = ()
    own: OwnState | None = None


@dataclass(frozen=True)
class Model:
    """A scenario as a transition system at its geometry, with what a report needs to know of its making."""

    scenario: Scenario
    system: TransitionSystem
    geometry: Geometry
    software: Software
    digest: str
    kernel: str
    lifted: tuple[str, ...]
    spaces: Spaces = SHARED

    @property
    def roles(self) -> tuple[str, ...]:
        """The role of each thread, by thread number."""
        return tuple(t.role for t in self.scenario.thread for _ in range(t.count))

    def needs(self, topic: str) -> tuple[Condition, ...]:
        """What the steps of its threads need of a topic."""
        return tuple(need for need in self.software.needs if need.topic == topic)

    def finished(self, role: str) -> z3.BoolRef:
        """Some thread of `role` has come to the end of its entry function."""
        t = sorts.t
        return z3.Exists([t], self.software.pc(t) == self.software.at(f"{role}:done"))

    def all_finished(self) -> z3.BoolRef:
        """Every thread has come to the end of its entry function."""
        t = sorts.t
        return z3.ForAll([t], z3.Or([self.software.pc(t) == self.software.at(f"{r}:done") for r in dict.fromkeys(self.roles)]))


def designs() -> tuple[str, ...]:
    """The names of the shipped designs."""
    return ("shared", *sorted(p.name for p in KERNEL.iterdir() if p.is_dir() and not p.name.startswith("_")))


def shipped_source(design: str) -> KernelSource:
    """The shipped kernel C of a design: the shared one, overridden by what stands in the design's own folder.

    Raises:
        InputError: there is no such design.
    """
    if design not in designs():
        raise InputError(f"there is no design {design!r}; there are {', '.join(designs())}")
    files = {p.name: p.read_text() for p in sorted(KERNEL.glob("*.c"))}
    if design != "shared":
        files |= {f"{design}/{p.name}": p.read_text() for p in sorted((KERNEL / design).glob("*.c"))}
    return KernelSource(design, files)


def parse_source(source: KernelSource) -> Code:
    """Parse all files of a design.

    Raises:
        Refusal: a file that is no C at all, or that has something outside of its functions which is not understood.
    """
    functions: dict[str, ast.Function] = {}
    structs: dict[str, ast.Struct] = {}
    broken: dict[str, Exception] = {}
    unmodelled: dict[str, Exception] = {}
    statics: dict[str, ast.Static] = {}
    for name, text in source.files.items():
        unit = parse(text, name, macros={n: t for n, t in source.files.items() if n != name})
        for refusal in unit.strange:
            raise refusal
        unmodelled |= unit.unmodelled
        for function in unit.functions:
            broken.pop(function, None)
        functions |= unit.functions
        structs |= unit.structs
        broken |= unit.broken
        for name_, static in unit.statics.items():
            if name_ in statics:
                raise InputError(f"{static.at}: {name_} is declared at {statics[name_].at}, too; one design declares a variable once")
            statics[name_] = static
    own = own_state(statics.values(), LIBRARY)
    for name_, static in statics.items():
        if name_ in own.names:
            unmodelled.pop(name_, None)
        elif name_ in unmodelled:
            unmodelled[name_] = refusal_of(static)
    return Code(functions, structs, unmodelled | broken, own.library, digest=source.digest, own=own)


def own_size(scenario: Scenario, threads: int, software: Software | None = None) -> Geometry:
    """The size that a scenario names, for so many threads, and for what they may have in queues if their program is given."""
    sizes = scenario.geometry
    own = sorts.geometry(
        thread=threads,
        region=sizes.regions,
        slot=sizes.slots,
        block=sizes.blocks,
        frame=scenario.frames,
        pt=sizes.pts,
        root=sizes.roots,
        vcpu=sizes.vcpus,
        iommu=sizes.iommus,
        device=sizes.devices,
        desc=1 if software is None else queue_depth(software.graphs.values()),
    )
    return Geometry({**own.sizes, **parts.sizes(scenario)})


def build(scenario: Scenario, code: Code, *, merge: bool = True) -> Model:
    """The transition system of a scenario.

    Raises:
        Refusal: kernel C outside the subset, or a call without a meaning that can be reached.
        InputError: an entry function or an argument that does not exist, or threads that the model cannot combine.
    """
    code = code.at(scenario)
    roles = [t.role for t in scenario.thread for _ in range(t.count)]
    software = compile_software(scenario, code, roles, merge=merge)
    system = assemble(scenario, software, code.rigids(scenario))
    return Model(
        scenario,
        system,
        own_size(scenario, len(roles), software),
        software,
        digest_of(scenario, code, merge=merge),
        code.kernel,
        code.lifted,
        code.spaces(scenario),
    )


def digest_of(scenario: Scenario, code: Code, *, merge: bool = True) -> str:
    """The digest of the model that `build` makes of these, without building it."""
    described = repr(replace_fields(scenario, unreachable=())).replace(", unreachable=()", "")  # that says nothing of the model
    return hashlib.sha256(f"{code.digest} {described} {merge} {machine_digest()}".encode()).hexdigest()[:12]


def compile_software(
    scenario: Scenario, code: Code, roles: Sequence[str], *, merge: bool = True, vcpu: Callable[[Thread], z3.ExprRef] | None = None
) -> Software:
    """The threads of a scenario, compiled into atomic steps.

    Args:
        roles: the role of each thread: a role that stands there once is merged as what only one thread does.
        vcpu: the vCPU that a thread runs for, where the scenario names none (by default the first).

    Raises:
        Refusal: kernel C outside the subset, or a call without a meaning that can be reached.
        InputError: an entry function or an argument that does not exist, or threads that the model cannot combine.
    """
    graphs = graphs_of(scenario, code, vcpu)
    refuse_beyond(scenario, graphs)
    state, init = (code.own.state, code.own.init) if code.own is not None else ((), ())
    known = _machine_of(scenario)
    machine = Machine((*known.state, *state), (*known.init, *init), known.actions)
    paths = Paths if code.sized is None else JoinedPaths
    software = compile_threads(graphs, roles, machine=machine, merge=merge, paths=paths)
    return replace(software, shared=state, shared_init=init)


def graphs_of(scenario: Scenario, code: Code, vcpu: Callable[[Thread], z3.ExprRef] | None = None, *, plain: bool = False) -> list[Graph]:
    """The control-flow graph of each thread; nobody may change them.

    Args:
        plain: as they are lowered, also of lifted code, whose nodes are else told apart by values.

    Raises:
        As `compile_software`.
    """
    graphs = []
    library = fitted(code.library, scenario)
    for thread in scenario.thread:
        function = code.functions.get(thread.entry)
        if function is None and thread.entry not in code.broken:
            near = did_you_mean(alike(thread.entry, sorted(code.functions)))
            raise InputError(
                f"scenario {scenario.name}: thread {thread.role} enters at {thread.entry}, which no file defines; "
                + (near or f"defined are {', '.join(sorted(code.functions))}")
            )
        arguments = {} if function is None else _arguments(scenario, thread, function, code, vcpu)
        variants = None if code.sized is None or plain else _variants
        graphs.append(lowered(thread.role, thread.entry, code.functions, code.structs, library, arguments, code.broken, variants))
    return graphs


def _variants(graph: Graph) -> None:
    by_value(graph, _tells_apart)


def _tells_apart(local: Local) -> bool:
    """Whether lifted code gets a copy for each value of a local: positions and levels, roots, kinds of entries."""
    return isinstance(local.kind, Word) or local.kind in (sorts.ROOT, tables.ENTRY)


def machine_digest() -> str:
    """A hash of the Python that describes the machine and the intrinsics, so that a verdict names the model that it speaks of."""
    here = Path(__file__).parent
    texts = [p.read_bytes() for folder in ("machine", "intrinsics", "lift") for p in sorted((here / folder).glob("*.py"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


def _arguments(
    scenario: Scenario, thread: Thread, function: ast.Function, code: Code, vcpu: Callable[[Thread], z3.ExprRef] | None
) -> dict[str, Value]:
    known = {p.name: code.library.types.get((p.type.base, p.type.pointer)) for p in function.parameters}
    result: dict[str, Value] = dict(code.arguments.get(thread.entry, {}))
    for name, given in thread.args.items():
        ctype = known.get(name)
        if ctype is None:
            raise InputError(
                f"scenario {scenario.name}: {thread.entry} has no parameter {name!r} that can be given; it has {', '.join(known)}"
            )
        result[name] = _value(scenario, thread, name, given, ctype)
    for name, ctype in known.items():
        if ctype == types.VCPU_T and name not in result:
            mine = sorts.VCPU.element(0) if vcpu is None else vcpu(thread)
            result[name] = Value(types.VCPU_T, {"null": z3.BoolVal(False), "vcpu": mine})
    return result


def _value(scenario: Scenario, thread: Thread, name: str, given: int | bool | str, ctype: object) -> Value:
    where = f"scenario {scenario.name}: thread {thread.role}, argument {name}"
    if isinstance(given, str):
        ends = {"first": sorts.gfn_first(), "last": sorts.gfn_last()}
        if ctype != types.GFN_T or given not in ends:
            raise InputError(f"{where}: {given!r} is no value of it; a gfn may be given as a number, as 'first' or as 'last'")
        return Value(types.GFN_T, {"": ends[given]})
    if ctype == types.VCPU_T:
        if not 0 <= int(given) < scenario.geometry.vcpus:
            raise InputError(f"{where}: there is no vCPU {given}; geometry.vcpus is {scenario.geometry.vcpus}")
        return Value(types.VCPU_T, {"null": z3.BoolVal(False), "vcpu": sorts.VCPU.element(int(given))})
    if ctype == types.GFN_T:
        most = scenario.geometry.regions * scenario.geometry.slots
        if isinstance(given, bool) or not 0 <= given < most:
            raise InputError(f"{where}: there is no gfn {given}; there are {most}")
        return Value(types.GFN_T, {"": sorts.GFN.element(given)})
    if ctype == BOOLEAN:
        if not isinstance(given, bool):
            raise InputError(f"{where}: true or false is expected, got {given}")
        return Value(BOOLEAN, {"": z3.BoolVal(given)})
    if ctype == types.DEVICE_T:
        if not 0 <= int(given) < scenario.geometry.devices:
            raise InputError(f"{where}: there is no device {given}; geometry.devices is {scenario.geometry.devices}")
        return Value(types.DEVICE_T, {"": sorts.DEVICE.element(int(given))})
    if isinstance(ctype, Handle):
        raise InputError(f"{where}: there is only one {ctype}; leave the argument out")
    raise InputError(f"{where}: an argument of type {ctype} cannot be given in a scenario; leave it open")


def _machine_of(scenario: Scenario) -> Machine:
    return _machine(scenario.geometry, scenario.hardware, scenario.start, scenario.space, tuple(part.name for part in parts.PARTS))


@lru_cache(maxsize=256)
def _machine(geometry: Sizes, hardware: Hardware, start: Start, space: tuple[Space, ...], known: tuple[str, ...]) -> Machine:
    """The machine of every scenario that says this of it: the parts, of these names, are shown nothing else of one."""
    shown = Scenario("any", "", (Thread("any", "any"),), {"any": "holds"}, geometry=geometry, hardware=hardware, start=start, space=space)
    return Machine(parts.state(shown), parts.initial(shown), parts.actions(shown))


def assemble(scenario: Scenario, software: Software, rigids: Sequence[Rigid] = ()) -> TransitionSystem:
    """The system of compiled threads and of the machine that the scenario asks for, from the scenario's initial state."""
    own_sorts: tuple[Sort, ...] = (*sorts.SORTS, *parts.sorts(), *types.SORTS)
    machine = _machine_of(scenario)
    return TransitionSystem(
        scenario.name,
        (*own_sorts, *software.sorts),
        (*machine.state, *software.shared, *software.state),
        (*machine.init, *software.shared_init, *software.init),
        (*software.actions, *machine.actions),
        (*sorts.RIGIDS, *software.rigids, *rigids),
    )


__all__ = ["Code", "KernelSource", "Model", "Source", "build", "designs", "parse_source", "shipped_source"]
