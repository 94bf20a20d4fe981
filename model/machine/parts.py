"""The parts of the machine: what each adds to the state, how it begins, what it does, and how it is told. A new part is one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import z3

from ...core.sorts import Sort, StateVar
from ...core.system import Action, Update
from ..scenario import Scenario
from ..view import assertions
from ..view.roles import Actor, Cache, Entries, Lock, Queue, Telling, Thing
from ..view.state_view import View
from . import cpu, cursors, device_tlb, devices, ghosts, host, iommu, locks, rcu, spaces, tables, threads
from .sorts import SLOT, g, root, slot_of


@dataclass(frozen=True)
class Part:
    """A part of the machine.

    Args:
        initial: its initial values in a scenario.
        actions: what it does in a scenario, if anything.
        sorts: the sorts that it declares; `sizes`, how many there are in a scenario of those that are no enumerations.
        told: how it is told.
        ghost: no machine keeps its state, so that nobody's step depends on it; `ghosts`, those of its variables of which that is true.
        asked: whether a scenario has it, of an optional one: where it is not, nothing of it is in the state.
        acts: where its actions stand among those of the machine: lower first.
    """

    name: str
    state: tuple[StateVar, ...] = ()
    initial: Callable[[Scenario], Sequence[Update]] = lambda scenario: ()
    actions: Callable[[Scenario], tuple[Action, ...]] = lambda scenario: ()
    sorts: tuple[Sort, ...] = ()
    sizes: Callable[[Scenario], Mapping[str, int]] = lambda scenario: {}
    told: tuple[Telling, ...] = ()
    ghost: bool = False
    ghosts: tuple[StateVar, ...] = ()
    asked: Callable[[Scenario], bool] | None = None
    acts: int = 9


def _held(scenario: Scenario) -> int:
    """How many roots hold what is mapped at the start."""
    return min(scenario.start.mapped_roots or scenario.geometry.roots, scenario.geometry.roots)


def _tables(scenario: Scenario) -> Sequence[Update]:
    sizes, start = scenario.geometry, scenario.start
    return tables.initial(tables.Mapped(start.tables), frozenset(start.exported), _held(scenario), sizes.regions, sizes.slots)


def _host(scenario: Scenario) -> Sequence[Update]:
    start, sizes = scenario.start, scenario.geometry
    return host.initial(start.host == "huge", start.host != "unmapped", sizes.regions, sizes.slots)


def _devices(scenario: Scenario) -> Sequence[Update]:
    start, coherent = scenario.start, scenario.hardware.coherent
    return devices.initial(None if coherent == "any" else coherent, bool(start.exported), start.attached)


def spaces_of(scenario: Scenario) -> spaces.Spaces:
    """Who walks which roots in a scenario. Which locks and notifiers they have, only its program says (`model.own_state`)."""
    return (
        spaces.Spaces(tuple(spaces.Space(each.name, each.roots, each.walked_by) for each in scenario.space))
        if scenario.space
        else spaces.SHARED
    )


def _loaded(scenario: Scenario, by: spaces.Walker, given: int | None) -> int:
    return spaces_of(scenario).first_root(by) if given is None else given


def _promised(scenario: Scenario) -> z3.BoolRef:
    held = tables.holds(root, _held(scenario) if scenario.start.tables in ("huge", "pages", "some") else 0)
    seen = spaces.both(held, spaces_of(scenario).walked(("cpu", "iommu"), root))
    return z3.And(seen, slot_of(g) != SLOT.element(scenario.geometry.slots - 1)) if scenario.start.tables == "some" else seen


PARTS: tuple[Part, ...] = (
    Part("tables", tables.STATE, _tables, sorts=tables.SORTS, told=(tables.ROOTS_TOLD, tables.TOLD)),
    Part("host", host.STATE, _host, told=(host.TOLD,)),
    Part(
        "cpu",
        cpu.STATE,
        lambda scenario: cpu.initial(scenario.hardware.cpu, _loaded(scenario, "cpu", scenario.start.vcpu_root)),
        lambda scenario: cpu.actions(lambda at: spaces_of(scenario).walked(("cpu",), at)) if scenario.hardware.cpu else (),
        told=(cpu.TOLD,),
        acts=2,
    ),
    Part(
        "iommu",
        iommu.STATE,
        lambda scenario: iommu.initial(scenario.start.attached, _loaded(scenario, "iommu", scenario.start.domain_root)),
        lambda scenario: iommu.actions(scenario.hardware.part_drops_huge) if scenario.hardware.iommu else (),
        told=(iommu.TOLD,),
        acts=1,
    ),
    Part("locks", locks.STATE, lambda scenario: locks.initial(), sorts=locks.SORTS, told=(locks.TOLD,)),
    Part("devices", devices.STATE, _devices, told=(devices.TOLD,)),
    Part("cursors", cursors.STATE, lambda scenario: cursors.initial(), ghost=True),
    Part(
        "ghosts",
        ghosts.STATE,
        lambda scenario: ghosts.initial(_promised(scenario)),
        ghost=True,
    ),
    Part("rcu", actions=lambda scenario: rcu.actions(), told=(rcu.TOLD,), acts=0),
    Part(
        "device TLBs",
        device_tlb.STATE,
        lambda scenario: device_tlb.initial(),
        lambda scenario: device_tlb.actions(),
        told=(device_tlb.TOLD,),
        ghosts=(ghosts.owes_dev,),
        asked=lambda scenario: scenario.hardware.ats,
        acts=3,
    ),
    Part("threads", told=(threads.TOLD,)),
    Part("assertions", told=(assertions.TOLD,)),
)
"""In the order of their state variables. What begins here is reached by no other list."""


def of(scenario: Scenario | None = None) -> tuple[Part, ...]:
    """The parts that a scenario has; all that there are, if none is given."""
    return tuple(part for part in PARTS if scenario is None or part.asked is None or part.asked(scenario))


def absent(scenario: Scenario) -> tuple[StateVar, ...]:
    """The state variables of the parts that a scenario has not."""
    return tuple(var for part in PARTS if part not in of(scenario) for var in part.state)


def _seen(view: View | None) -> tuple[Part, ...]:
    """The parts of which a state knows; all that there are, if none is given."""
    return tuple(part for part in PARTS if view is None or part.asked is None or any(view.has(var) for var in part.state))


def state(scenario: Scenario | None = None) -> tuple[StateVar, ...]:
    """The state variables of the machine in a scenario; all that there may be, if none is given."""
    return tuple(var for part in of(scenario) for var in part.state)


def initial(scenario: Scenario) -> tuple[Update, ...]:
    """The machine's initial values in a scenario."""
    return tuple(update for part in of(scenario) for update in part.initial(scenario))


def actions(scenario: Scenario) -> tuple[Action, ...]:
    """What the machine does in a scenario."""
    return tuple(action for part in sorted(of(scenario), key=lambda part: part.acts) for action in part.actions(scenario))


def sorts() -> tuple[Sort, ...]:
    """The sorts that parts declare, besides those of the machine."""
    return tuple(sort for part in PARTS for sort in part.sorts)


def sizes(scenario: Scenario) -> dict[str, int]:
    """How many there are of what parts declare, by the sort's name."""
    return {name: size for part in PARTS for name, size in part.sizes(scenario).items()}


def ghost_names() -> frozenset[str]:
    """The variables that no machine keeps."""
    return frozenset(var.name for part in PARTS for var in (part.state if part.ghost else part.ghosts))


def tellings(view: View | None = None) -> tuple[Telling, ...]:
    """How the parts are told, in the order in which a reader meets them: those that a state has; all that there are, if none is given."""
    return tuple(sorted((telling for part in _seen(view) for telling in part.told), key=lambda telling: telling.order))


def things(view: View | None = None) -> tuple[Thing, ...]:
    """What has a node of its own, in a state or at all."""
    return tuple(thing for telling in tellings(view) for thing in telling.things)


def entries(view: View | None = None) -> tuple[Entries, ...]:
    """The entries of tables, the upper ones first, in a state or at all."""
    return tuple(entry for telling in tellings(view) for entry in telling.entries)


def caches(view: View | None = None) -> tuple[Cache, ...]:
    """What is cached, in a state or at all."""
    return tuple(cache for telling in tellings(view) for cache in telling.caches)


def caches_of(view: View, thing: Thing) -> Iterator[tuple[Cache, int]]:
    """The caches of a thing with their tags: those of one sort of tag together, tag by tag."""
    own = [cache for cache in caches(view) if cache.owner == thing.kind]
    for sort in dict.fromkeys(cache.sorts[1] for cache in own):
        for tag in view.each(sort):
            yield from ((cache, tag) for cache in own if cache.sorts[1] == sort)


def queues(view: View | None = None) -> tuple[Queue, ...]:
    """What stands in a queue, in a state or at all."""
    return tuple(queue for telling in tellings(view) for queue in telling.queues)


def held_locks() -> tuple[Lock, ...]:
    """What a thread may hold or be inside of."""
    return tuple(lock for telling in tellings() for lock in telling.locks)


def actors() -> tuple[Actor, ...]:
    """Who acts besides the threads."""
    return tuple(actor for telling in tellings() for actor in telling.actors)
