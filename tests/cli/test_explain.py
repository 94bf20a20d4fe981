"""`tdpcheck explain`: the argument lemma by lemma, and what it says when something is missing."""

from __future__ import annotations

import json

import pytest

from tdpcheck.tests.calling import Call

QUICK = ("explain", "reject_noncoherent_dma", "--scenario", "noncoherent-export", "--jobs", "1")


def test_an_argument_is_told_with_its_sentences_and_a_verdict_that_claims_no_more_than_was_done(call: Call) -> None:
    """One solver is no certificate."""
    result = call(*QUICK)

    assert 0 == result.exit_code, result.stderr
    assert "writer_where: holds" in result.stdout
    assert "no_sharing_with_noncoherent: holds" in result.stdout
    assert "Every lemma holds initially and is kept by every step" in result.stdout
    assert "Z3 alone" in result.stdout
    assert "BROKEN" not in result.stdout


@pytest.mark.slow
@pytest.mark.nightly
def test_a_lemma_that_is_left_out_is_missed_by_name_and_line(call: Call) -> None:
    """The exit code says that nothing is proved. By day, tests/runner/test_races.py leaves this one out."""
    result = call(*QUICK, "--drop", "exporting", "--json")
    told = json.loads(result.stdout)
    broken = {step["name"]: step["broken_by"] for step in told["lemmas"] if step["broken_by"]}

    assert 3 == result.exit_code
    assert broken
    assert not told["holds"]
    assert all(step["sentence"] for step in told["lemmas"])


def test_names_that_nobody_knows_are_refused_with_those_that_are(call: Call) -> None:
    """Bad input: one message, exit code 2."""
    for arguments in (
        ("explain", "no_stale_io_maping"),
        ("explain", "no_stale_io_mapping", "--scenario", "linux-6.1-colapse"),
        ("explain", "no_stale_io_mapping", "--scenario", "linux-6.1-lift-collapse-vs-fault"),
        (*QUICK, "--drop", "writer_were"),
    ):
        result = call(*arguments)

        assert 2 == result.exit_code
        assert "Traceback" not in result.stderr
        assert result.stderr.strip()
