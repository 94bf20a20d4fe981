"""What an argument about kernel C lacks: a race of the system for every size, or lemmas that nobody wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
import z3

from tdpcheck.checker.arguments.missing import Missing, Race, mended, missing
from tdpcheck.checker.certificates.instantiated import InitialState, instantiated
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.trace import replays
from tdpcheck.model.machine.devices import noncoherent_registered, tdp_exported
from tdpcheck.model.machine.locks import mmu_writer
from tdpcheck.model.machine.sorts import d, u
from tdpcheck.model.parametric import Parametric, parametric, sizes, starts
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.properties import PROPERTIES
from tdpcheck.properties.argument.book import argument
from tdpcheck.recheck.questions import check_certificate
from tdpcheck.runner.every_size import files_with
from tdpcheck.runner.inputs.sources import code_for
from tdpcheck.runner.museum.items import FOLDER, read_item


def changed(scenario: str, patch: str | None = None) -> Parametric:
    asked = shipped_scenarios()[scenario]
    return parametric(asked, code_for(asked, None, files_with(patch)))


QUICK = ("attach-noncoherent-device",)


@pytest.mark.parametrize(
    "name",
    [
        *QUICK,
        *(
            pytest.param(x, marks=pytest.mark.slow)
            for x in ("export-check-outside-lock", "export-over-noncoherent", "export-invalid-root", "cpus-not-flushed")
        ),
    ],
)
def test_a_mistake_is_a_race_of_the_system_for_every_size(name: str) -> None:
    """Found at a small size, and replayed; it is as long as the shortest one of the scenario's own size, or a little longer."""
    item = read_item(FOLDER / name)
    model = changed(item.expect.scenario, str(FOLDER / name / "change.patch"))
    prop = PROPERTIES[item.expect.property]
    found = missing(model.system, [prop], argument(model, prop), *sizes(model.scenario))

    assert isinstance(found, Race)
    assert replays(found.trace, prop, Evaluator(model.system, found.geometry))
    assert item.expect.depth is not None
    assert item.expect.depth <= found.trace.depth <= item.expect.depth + 2


@pytest.mark.slow
def test_what_is_right_has_no_race_and_its_argument_comes_out_of_nothing() -> None:
    """Why sharing and non-coherent DMA exclude each other: found without any lemma, and proved for any number of threads and devices."""
    # The kernel's own mark alone: that an exported root bears it needs a lemma that speaks of a thread which there is.
    apart = z3.Or(z3.Not(tdp_exported()), z3.ForAll([d], z3.Not(noncoherent_registered(d))), z3.Exists([u], mmu_writer(u)))
    model, prop = changed("noncoherent-export"), replace(PROPERTIES["reject_noncoherent_dma"], holds=apart)
    lacking = missing(model.system, [prop], [], *sizes(model.scenario))
    assert isinstance(lacking, Missing)
    found = mended(model.system, [prop], [], lacking, {})

    assert found.checked.holds
    text = instantiated(found.theory, found.checked.uses, InitialState(*next(starts(model))))
    assert all(check_certificate(text, solver).accepted for solver in ("z3", "cvc5"))


LEFT_OUT = [
    ("noncoherent-export", "reject_noncoherent_dma", "exporting"),
    pytest.param("noncoherent-attach", "reject_noncoherent_dma", "joining_is_coherent", marks=pytest.mark.nightly),
    pytest.param("mm-exit", "no_stale_io_mapping", "owes_io_to_the_active", marks=pytest.mark.nightly),
]


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "prop", "left_out"), LEFT_OUT)
def test_a_lemma_that_is_left_out_of_a_large_argument_is_made_good(scenario: str, prop: str, left_out: str) -> None:
    """Fifty lemmas lack one, and the rest does not go through. By night, of pages, too, which takes minutes."""
    model, promise = changed(scenario), PROPERTIES[prop]
    rest = [x for x in argument(model, promise) if x.name != left_out]
    lacking = missing(model.system, [promise], rest, *sizes(model.scenario))
    assert isinstance(lacking, Missing)

    assert not mended(model.system, [promise], rest, Missing((), (), ()), {}).checked.holds
    assert mended(model.system, [promise], rest, lacking, {}).checked.holds
