from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.tests.traces.acting import Acting
from tdpcheck.traces.format import KINDS, decoded, read, written


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    acting = Acting()
    acting.mapped(7)
    return gzip.decompress(written(acting.trace)).splitlines()


def test_what_is_written_is_read_again(lines: list[bytes]) -> None:
    trace = decoded(b"\n".join(lines), "here")

    assert decoded(written(trace), "there") == trace
    assert len(trace.events) == len(lines) - 1


@pytest.mark.parametrize(
    ("line", "text", "says"),
    [
        (0, b"", "line 1 is no header"),
        (0, b"[" * 5000, "line 1 is no header"),
        (0, b'{"trace": 2}', "a trace of form 2; this tdpcheck reads form 1"),
        (0, b'{"trace": 1, "kernel": "6.1"}', "line 1: .*version"),
        (2, b"{", "line 3: "),
        (2, b'{"begin": 1, "end": 2, "cpu": 0, "task": 9, "kind": "stael"}', "line 3: there is no event 'stael'; there are page_fault"),
        (2, b'{"begin": 1, "end": 2, "cpu": 0, "task": 9, "kind": "stale_done"}', "line 3: stale_done has the values ret, not none"),
        (2, b'{"begin": 3, "end": 2, "cpu": 0, "task": 9, "kind": "wlock"}', "line 3: it ends at 2, before it begins at 3"),
        (2, b'{"begin": 0, "end": 0, "cpu": 0, "task": 20, "kind": "wlock"}', "line 3: events of task 20 are not in order: page_fault"),
        (2, b'{"begin": -1, "end": 0, "cpu": 0, "task": 20, "kind": "wlock"}', "line 3: .*>= 0"),
    ],
)
def test_the_first_wrong_line_is_named(lines: list[bytes], line: int, text: bytes, says: str) -> None:
    wrong = [*lines[:line], text, *lines[line + 1 :]]

    with pytest.raises(InputError, match=f"^here: {says}"):
        decoded(b"\n".join(wrong), "here")


def test_a_damaged_file_is_named(lines: list[bytes], tmp_path: Path) -> None:
    packed = gzip.compress(b"\n".join(lines))

    with pytest.raises(InputError, match="the gzip data ends in the middle"):
        decoded(packed[:-9], "here")
    with pytest.raises(InputError, match="damaged gzip data"):
        decoded(packed[:20] + b"\xff" * 20 + packed[40:], "here")
    with pytest.raises(InputError, match="the file is empty"):
        decoded(b"", "here")
    with pytest.raises(InputError, match="there is no such file"):
        read(f"{tmp_path}/none")


def test_every_event_is_described() -> None:
    """What the format's page says is what the reader wants."""
    page = (Path(__file__).parents[2] / "docs" / "running-kernel.md").read_text(encoding="utf-8")

    assert [f"`{kind}`" for kind in KINDS if f"`{kind}`" not in page] == []
