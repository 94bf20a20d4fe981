"""`tdpcheck spte`: an entry of 64 bits in the words of each reader."""

from __future__ import annotations

import click

from ..core.errors import InputError
from ..runner.documents import to_json
from .echo import echo

READERS = ("ept", "vtd", "kvm", "npt")


@click.command()
@click.argument("value")
@click.option(
    "--as", "readers", type=click.Choice(READERS), multiple=True, help="Who reads it; may be given again. Default: ept, vtd, kvm."
)
@click.option("--level", type=int, help="Where it stands: 1 (4K), 2 (2M), 3 (1G), 4, 5. Default: at 1 and at 2.")
@click.option("--present", type=click.Choice(["11", "59"]), default="11", show_default=True, help="Where KVM has SPTE_MMU_PRESENT.")
@click.option("--machine", default="usual", show_default=True, metavar="NAME", help="What the hardware is (see docs/formats.md).")
@click.option("--suppress-ve", is_flag=True, help="KVM suppresses #VE, as since Linux 6.10: bit 63 is part of what it writes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def spte(value: str, readers: tuple[str, ...], level: int | None, present: str, machine: str, suppress_ve: bool, as_json: bool) -> None:
    """Tell what EPT, VT-d and KVM read in an entry of 64 bits.

    VALUE is a number as C writes it: 0x807, 2055.

    Exit code: 0 told; 2 bad input.
    """
    from ..formats.telling import lines, told

    entry = told(_number(value), readers, level, f"bit-{present}", machine, suppress_ve=suppress_ve)
    echo(to_json(entry) if as_json else "".join(f"{line}\n" for line in lines(entry)), nl=False)


def _number(text: str) -> int:
    try:
        return int(text.strip().lower().rstrip("ul"), 0)
    except ValueError:
        raise InputError(f"{text!r} is no number; give an entry as 0x807 or 2055") from None
