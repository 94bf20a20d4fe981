"""`museum`: known bugs, each found again."""

from __future__ import annotations

from ..runner.asking.limits import Limits
from ..runner.asking.results import MuseumItem
from ..runner.museum.items import Item, shipped_items
from ..runner.museum.visits import chosen, visit

TIMEOUT = 300.0


def museum(*names: str, timeout: float | None = TIMEOUT) -> tuple[MuseumItem, ...]:
    """Find known bugs again, and check that their good twins are without them.

    Args:
        names: of items; all of them without any.
        timeout: seconds a question.

    Returns:
        A record an item: `ok` says whether all is as it should be, `reason` what is not.

    Raises:
        InputError: an unknown name.

    Example:
        >>> from tdpcheck import museum
        >>> [item.ok for item in museum("export-over-noncoherent")]
        [True]
    """
    items = shipped_items()
    return tuple(visit(items[name], Limits(timeout=timeout)) for name in chosen(names))


def museum_items() -> dict[str, Item]:
    """What the museum holds, by name: the patch, what it breaks, its story.

    Example:
        >>> from tdpcheck import museum_items
        >>> museum_items()["flush-without-iommu"].expect.property
        'no_stale_io_mapping'
    """
    return shipped_items()
