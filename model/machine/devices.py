"""Devices whose DMA may or may not snoop, and what KVM was told of them.

A device behind an IOMMU that cannot enforce coherency makes VFIO register non-coherent DMA with KVM (kvm_vfio_update_coherency()), and
KVM must then honour guest memory types, which an exported table cannot. Source: virt/kvm/vfio.c, arch/x86/kvm/x86.c, Linux 6.1; the RFC.
"""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Update, bool_var
from ..view.roles import CACHE_BOX, Flags, Mark, Telling, Thing, cells_of
from ..view.state_view import At, Changed, View
from .iommu import attached
from .sorts import DEVICE, d

coherent = bool_var("coherent", DEVICE, doc="the IOMMU enforces snooping for this device's DMA")
noncoherent_registered = bool_var("noncoherent_registered", DEVICE, doc="kvm_arch_register_noncoherent_dma() counts this device")
tdp_exported = bool_var("tdp_exported", doc="the VM has an exported TDP: the fd is, or is about to be, published")
importer = bool_var("importer", doc="the importer is on the list that kvm_tdp_fd_flush_notify() walks")

STATE = (coherent, noncoherent_registered, tdp_exported, importer)


def initial(coherent_devices: bool | None, exported: bool, imported: bool) -> list[Update]:
    """`coherent_devices` None leaves each device's coherency open."""
    known = [] if coherent_devices is None else [Update(coherent, (d,), z3.BoolVal(coherent_devices))]
    return [
        *known,
        Update(noncoherent_registered, (d,), z3.BoolVal(False)),
        Update(tdp_exported, (), z3.BoolVal(exported)),
        Update(importer, (), z3.BoolVal(imported)),
    ]


# How they are told


def _words(before: View, after: View, changed: Changed) -> Iterator[str]:
    for (n,) in changed.at(attached):
        snoops = "" if after.is_set(coherent, n) else " (non-coherent DMA)"
        yield f"{'attaches' if after.is_set(attached, n) else 'detaches'} device {n}{snoops}"
    for (n,) in changed.at(noncoherent_registered):
        verb = "registers" if after.is_set(noncoherent_registered, n) else "unregisters"
        yield f"{verb} non-coherent DMA of device {n}"
    if changed.at(tdp_exported):
        yield "the TDP counts as exported" if after.is_set(tdp_exported) else "the TDP is exported no more"
    if changed.at(importer):
        yield "puts the importer on the list" if after.is_set(importer) else "takes the importer off the list"


def _notes(view: View, at: At) -> Flags:
    registered = ("registered as non-coherent",) if view.is_set(noncoherent_registered, *at) else ()
    return (*(() if view.is_set(coherent, *at) else ("non-coherent DMA",)), *registered)


def _headline(view: View, at: At) -> str:
    where = "attached" if view.is_set(attached, *at) else "not attached"
    snoops = "snoops" if view.is_set(coherent, *at) else "non-coherent"
    return f"{where}, {snoops}" + (", registered" if view.is_set(noncoherent_registered, *at) else "")


def _start(view: View) -> Iterator[str]:
    for n in view.each(DEVICE):
        kind = "" if view.is_set(coherent, n) else ", and its DMA is non-coherent"
        yield f"device {n} is {'' if view.is_set(attached, n) else 'not '}attached{kind}"


TOLD = Telling(
    things=(
        Thing(
            "device",
            (DEVICE,),
            CACHE_BOX,
            "IOMMU",
            marks=(
                Mark(attached, table="attached"),
                Mark(noncoherent_registered, table="registered as non-coherent"),
                Mark(coherent, table="snoops", table_unset="non-coherent DMA"),
            ),
            touched=cells_of(attached, noncoherent_registered),
            noted=cells_of(attached, noncoherent_registered),
            arising=cells_of(attached),
            present=lambda view, at: view.is_set(attached, *at) or view.is_set(noncoherent_registered, *at),
            attributes=lambda view, at: {
                "coherent": view.is_set(coherent, *at),
                "registered": view.is_set(noncoherent_registered, *at),
            },
            notes=_notes,
            headline=_headline,
            plain=lambda view, at: view.is_set(attached, *at),
            row=1,
        ),
    ),
    effects=_words,
    start=_start,
    order=2,
    rank=5,
)
