"""Documents that no run of ours has given yet: one with everything that can be told, one that is long, and one that means harm."""

from __future__ import annotations

from msgspec.structs import replace

from tdpcheck.counterexamples import schema
from tdpcheck.counterexamples.schema import Actor, Cause, Cex, Change, Confidence, Missing, NearMiss, Repair, Signature, Turn, load, write

ODD = 'a"\\}]; </script><script>alert(1)</script> | `x` {{ 7*7 }} @who #1 \x07\x1b\u2028 -> & <b>'


def checked(cex: Cex) -> Cex:
    """The same document, as a reader takes it in."""
    return load(write(cex), "shaped")


def plain(cex: Cex) -> Cex:
    """A run of which nobody has asked what it comes from."""
    steps = tuple(replace(s, mark="") for s in cex.steps)
    unasked = replace(
        cex, steps=steps, causes=(), missing=None, near_miss=None, searched="", repairs=(), assumptions=(), needs=(), signature=None
    )
    return checked(replace(unasked, confidence=Confidence()))


def told(cex: Cex) -> Cex:
    """A run with marks, a cause, a near miss, a repair and assumptions: what they say is made up, where they stand is not."""
    first, last = 1, cex.depth
    marks = {first: "cause", last: "cause"} if first < last else {}
    steps = tuple(replace(s, mark=marks.get(s.number, "noise" if not s.effects else "enabling")) for s in cex.steps)
    turns = {s.number: Turn(s.number, s.actor, s.label, "", "same", s.action, s.arguments) for s in cex.steps}
    near = tuple(turns[n] for n in (last, *range(1, last)) if n)
    waits = Turn(0, cex.actors[0].name, "waits", "kvm_main.c:1", "inserted", "wait")
    missed = (waits, *near[:-1], *(replace(t, manner="left out") for t in near[-1:]))
    return checked(
        replace(
            cex,
            steps=steps,
            causes=tuple(Cause(n, last, "the first comes before the last", near) for n in marks if n < last),
            missing=Missing(first, last, "a flush", "a flush is missing between the first and the last") if first < last else None,
            near_miss=NearMiss(missed, last - 1, 1, "had the last come first, it would hold"),
            searched="orders of three steps were not tried",
            repairs=(Repair("wait", "wait before the last step", "kvm_main.c:14", "HoldsUpTo 20", "-\told();\n+\tnew();\n"),),
            assumptions=("every device snoops", "memory is sequentially consistent"),
            needs=("every device snoops",),
            confidence=Confidence(True, ("bmc", "explore"), {"zapped": 4}),
            signature=Signature(cex.prop.name, ("kvm_main.c:41", "iotlb_fill")),
        )
    )


def long(cex: Cex, steps: int = 40) -> Cex:
    """A run of so many steps: its first steps are done and undone until only the run itself is left to do."""
    made: list[schema.Step] = []
    while (spare := steps - cex.depth - len(made)) > 1:
        forth = cex.steps[: min(cex.depth, spare // 2)]
        back = [replace(s, changes=tuple(Change(c.cell, c.new, c.old) for c in s.changes)) for s in reversed(forth)]
        made += [*forth, *back]
    made += [replace(cex.steps[0], changes=())] * spare
    whole = tuple(replace(s, number=n) for n, s in enumerate([*made, *cex.steps], 1))
    return checked(replace(plain(cex), depth=steps, steps=tuple(replace(s, mark="") for s in whole), shortest=None))


def at_once(cex: Cex) -> Cex:
    """The state at the end of a run as one that violates the property from the start."""
    return checked(replace(plain(cex), depth=0, steps=(), initial=schema.states(cex)[-1]))


def odd(cex: Cex) -> Cex:
    """A document in which every name and sentence tries to be markup."""
    names = {a.name: f"{ODD}{n}" for n, a in enumerate(cex.actors)}
    steps = tuple(replace(s, actor=names[s.actor], label=ODD, action=ODD) for s in cex.steps)
    return checked(
        replace(
            told(cex),
            prop=replace(cex.prop, name=ODD, sentence=ODD),
            scenario=replace(cex.scenario, name=ODD, story=ODD),
            change=ODD,
            design=ODD,
            model=ODD,
            actors=tuple(Actor(names[a.name], a.kind, ODD) for a in cex.actors),
            steps=tuple(replace(s, mark=m.mark) for s, m in zip(steps, told(cex).steps, strict=True)),
            violation=tuple(replace(i, sentence=ODD) for i in cex.violation),
            sources=tuple(replace(x, text=ODD) for x in cex.sources),
            absent=(ODD,),
            missing=Missing(1, cex.depth, ODD, ODD) if cex.depth > 1 else None,
        )
    )
