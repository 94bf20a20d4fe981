"""The toy systems of `examples/`, each with what every engine must say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tdpcheck.core.sorts import Geometry
from tdpcheck.core.system import Property, TransitionSystem
from tdpcheck.examples import counter, mutex, table_cache, traffic_light


@dataclass(frozen=True)
class Toy:
    """A toy at a geometry.

    Args:
        states: how many are reachable.
        diameter: the greatest distance of one from the initial states.
        violated: the depth of the shortest violation, or None where the property holds.
        proof: what the lemmas achieve at every size: "proved", the pairs that break, or "not parametric".
    """

    system: TransitionSystem
    prop: Property
    sizes: Mapping[str, int]
    states: int
    diameter: int
    violated: int | None = None
    proof: str | tuple[tuple[str, str], ...] = "proved"

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.sizes)

    @property
    def name(self) -> str:
        return "-".join([self.system.name, *map(str, self.sizes.values())])


def _table(pages: int, devices: int, threads: int) -> dict[str, int]:
    return {"Page": pages, "Device": devices, "Thread": threads}


_hasty = (("green", "one_road_drives"),)
_two_steps = (("enter", "one_inside"),)
_impolite = (("give_way", "the_one_who_waits_gave_way"),)
_no_flush = (("give_back", "cached_is_mapped_or_owed"),)
_drives, _inside, _critical, _stale = traffic_light.one_road_drives, mutex.one_inside, mutex.one_critical, table_cache.no_stale_cache
_limit = counter.stays_within_the_limit

TOYS = (
    Toy(traffic_light.system, _drives, {"Road": 1}, 3, 2),
    Toy(traffic_light.system, _drives, {"Road": 3}, 7, 2),
    Toy(traffic_light.system, _drives, {"Road": 5}, 11, 2),
    Toy(traffic_light.broken, _drives, {"Road": 2}, 8, 4, 3, _hasty),
    Toy(traffic_light.broken, _drives, {"Road": 3}, 20, 6, 3, _hasty),
    Toy(counter.system, _limit, {}, 11, 10, None, "not parametric"),
    Toy(counter.broken, _limit, {}, 12, 11, 11, "not parametric"),
    Toy(mutex.system, _inside, {"Thread": 1}, 2, 1),
    Toy(mutex.system, _inside, {"Thread": 3}, 4, 1),
    Toy(mutex.broken, _inside, {"Thread": 2}, 13, 6, 4, _two_steps),
    Toy(mutex.broken, _inside, {"Thread": 3}, 45, 8, 4, _two_steps),
    Toy(mutex.peterson, _critical, {}, 20, 5),
    Toy(mutex.impolite, _critical, {}, 32, 8, 6, _impolite),
    Toy(table_cache.system, _stale, _table(1, 1, 1), 6, 3),
    Toy(table_cache.system, _stale, _table(2, 2, 1), 140, 7),
    Toy(table_cache.system, _stale, _table(2, 2, 2), 622, 8),
    Toy(table_cache.system, _stale, _table(3, 2, 1), 1050, 10),
    Toy(table_cache.broken, _stale, _table(1, 1, 1), 7, 4, 4, _no_flush),
    Toy(table_cache.broken, _stale, _table(2, 2, 1), 224, 12, 5, _no_flush),
    Toy(table_cache.broken, _stale, _table(2, 3, 2), 4626, 15, 6, _no_flush),
)
