"""What was once read wrongly is read rightly, and so are some new inputs of each kind; `make nightly` tries 100,000."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .fuzzer import KINDS, corpus, inputs, spoiled, tried


@pytest.mark.parametrize(("kind", "path"), list(corpus()), ids=lambda value: value.name if isinstance(value, Path) else str(value))
def test_what_was_once_read_wrongly_is_an_answer_or_one_clear_error(kind: str, path: Path) -> None:
    for seed in range(8 if kind == "document" else 1):  # of a document, the seed says in which form it is shown
        assert tried(kind, path.read_bytes(), seed) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_spoiled_inputs_are_an_answer_or_one_clear_error(kind: str) -> None:
    count = 8 if kind == "replay" else 25  # a run is replayed on a model, and each scenario has one of its own
    wrong = [(seed, said) for seed, data in inputs(kind, count, seed=2) if (said := tried(kind, data, seed))]

    assert wrong == []


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow if kind == "replay" else ()) for kind in KINDS])
def test_good_inputs_are_read_without_an_error(kind: str) -> None:
    """Else nothing would be said by a spoiled one that is refused."""
    reader, good, _ = KINDS[kind]
    for data in good()[:2] if kind != "line" else good()[:1]:
        reader(data, random.Random(1))


def test_inputs_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    one, again, other = (list(inputs("overlay", 20, seed)) for seed in (1, 1, 2))

    assert one == again != other
    assert spoiled(b"a b\nc", b"d", random.Random(1)) != b"a b\nc"


def test_the_oracle_notices_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that fails as no reader may is told of."""

    def broken(data: bytes, rng: random.Random) -> None:
        raise IndexError("no such place")

    monkeypatch.setitem(KINDS, "c", (broken, *KINDS["c"][1:]))

    assert "IndexError: no such place" in tried("c", b"int x;")
