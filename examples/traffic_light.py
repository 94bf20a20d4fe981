"""A crossing: any number of roads, each with a light, and at most one road that may drive. Nothing here is KVM.

`broken` lets a road go as soon as no other shows green, so that it meets those who still drive through yellow.
"""

from __future__ import annotations

import z3

from tdpcheck import Action, Param, Property, Sort, StateVar, TransitionSystem, Update, set_at

Road = Sort("Road")
Colour = Sort("Colour", ("red", "green", "yellow"))
light = StateVar("light", (Road,), Colour, "what the road sees")
red, green, yellow = (Colour.element(name) for name in Colour.elements)

road = Param("road", Road)
r, other = road.const, Road.const("other")


def turn(name: str, guard: z3.BoolRef, colour: z3.ExprRef) -> Action:
    """The light of one road changes."""
    return Action(name, "light", (road,), guard, (set_at(light, (r,), colour),), f"road {{road}} shows {name}")


def crossing(name: str, free: z3.BoolRef) -> TransitionSystem:
    """A crossing where a road gets green when it is `free`."""
    return TransitionSystem(
        name,
        (Road, Colour),
        (light,),
        (Update(light, light.variables(), red),),
        (
            turn("green", z3.And(light(r) == red, free), green),
            turn("yellow", light(r) == green, yellow),
            turn("red", light(r) == yellow, red),
        ),
    )


system = crossing("traffic_light", z3.ForAll([other], light(other) == red))
broken = crossing("hasty_traffic_light", z3.ForAll([other], light(other) != green))

one_road_drives = Property(
    "one_road_drives",
    "At most one road sees anything but red.",
    z3.ForAll([r, other], z3.Or(r == other, light(r) == red, light(other) == red)),
    premise=z3.Exists([r], light(r) == yellow),
)
