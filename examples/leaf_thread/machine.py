"""What the thread works on, and what else happens: pages are mapped, and devices remember translations whenever they like."""

from __future__ import annotations

import z3

from tdpcheck import Action, Param, Sort, Update, bool_var, set_at, truth
from tdpcheck.kernelc import THREADS

Page, Device = Sort("Page"), Sort("Device")

used = bool_var("used", Page, doc="the page belongs to the guest")
mapped = bool_var("mapped", Page, doc="the table has a leaf for the page")
cached = bool_var("cached", Device, Page, doc="the device remembers a translation to the page")
locked = bool_var("locked", doc="somebody holds mmu_lock")
done = bool_var("done", THREADS, Page, doc="the thread's walk over the leaves has been at the page")
gathered = bool_var("gathered", THREADS, Page, doc="the thread unmapped the page and has yet to give it back")
owed = bool_var("owed", Page, doc="the page was unmapped since devices were last made to forget")

state = (used, mapped, cached, locked, done, gathered, owed)
init = tuple(Update(v, v.variables(), truth(False)) for v in state)

page, device = Param("page", Page), Param("device", Device)
p, d = page.const, device.const

map_page = Action(
    "map_page",
    "fault",
    (page,),
    z3.And(z3.Not(used(p)), z3.Not(locked())),
    (set_at(used, (p,), truth(True)), set_at(mapped, (p,), truth(True))),
    "a fault maps page {page}",
)
fill = Action("fill", "iommu", (device, page), mapped(p), (set_at(cached, (d, p), truth(True)),), "device {device} walks to page {page}")
actions = (map_page, fill)
