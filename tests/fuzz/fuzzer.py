"""Inputs of every kind, spoiled by a seeded generator, given to whatever reads them, in this process.

What must come out is an answer or a `TdpcheckError`: never another exception, and never later than a limit. What was found once lies in
`corpus/`, by kind, and is tried first. Run it as `make fuzz`, or

    python -m tdpcheck.tests.fuzz.fuzzer --count 1000 --seed 7 [--kind patch]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import NoReturn

from click.testing import CliRunner

from tdpcheck.checker.certificates.certificate import grounded, parametric
from tdpcheck.cli.main import tdpcheck
from tdpcheck.cli.report import FILES
from tdpcheck.core.errors import EngineError, TdpcheckError
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import Geometry
from tdpcheck.core.stored.tomlfile import toml_of
from tdpcheck.core.system import Lemma
from tdpcheck.counterexamples.compared import differences
from tdpcheck.counterexamples.document import replay
from tdpcheck.counterexamples.schema import load
from tdpcheck.examples import table_cache
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.kernelc.text.parse import parse
from tdpcheck.model.scenario import read_scenario, shipped_scenarios
from tdpcheck.recheck.reader import parse as read_certificate
from tdpcheck.reports.overview import Overview
from tdpcheck.reports.stored import read_run
from tdpcheck.runner.documents import to_json
from tdpcheck.runner.inputs.changes import overlaid, patched
from tdpcheck.runner.inputs.sources import Built, built, files_of
from tdpcheck.runner.inputs.terms import property_of
from tdpcheck.runner.museum.items import shipped_items
from tdpcheck.runner.telling.rendering import FORMS, render
from tdpcheck.tests.reports.runs import plain_run, series_run

CORPUS = Path(__file__).with_name("corpus")
LIMIT = 20.0
"""Seconds of computing for one input."""
GOLDEN = Path(__file__).parents[1] / "counterexamples" / "golden"
QUICK = "noncoherent-export"


class Late(BaseException):
    """An input took longer than it may."""


# What reads an input of each kind. `rng` decides which of the dearer ways is gone.


def _patch(data: bytes, rng: random.Random) -> None:
    files = files_of(None)
    after = patched(parse_change(data, "fuzzed.patch"), files)
    if after and rng.random() < 0.03:
        built(shipped_scenarios()[QUICK], None, after[-1].files)


def _c(data: bytes, rng: random.Random) -> None:
    parse(data, "fuzzed.c")


def _scenario(data: bytes, rng: random.Random) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # whoever reads the file says so
        scenario = read_scenario(data.decode(), "fuzzed.toml")
        if rng.random() < 0.03 and not scenario.needs_kernel:
            built(scenario, None, files_of(None))


def _overlay(data: bytes, rng: random.Random) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # as `runner.inputs.changes` does
        overlaid(shipped_scenarios()[rng.choice(sorted(shipped_scenarios()))], toml_of(data.decode(), "fuzzed.toml"), "fuzzed.toml")


def _document(data: bytes, rng: random.Random) -> None:
    cex = load(data, "fuzzed.cex.json", violated=rng.random() < 0.9)
    for form in FORMS if rng.random() < 0.02 else (rng.choice(sorted(set(FORMS) - {"png", "png-slide"})),):
        try:
            render(cex, form)
        except TdpcheckError:
            continue


def _replay(data: bytes, rng: random.Random) -> None:
    cex = load(data, "fuzzed.cex.json", violated=False)
    if cex.scenario.name not in shipped_scenarios() or shipped_scenarios()[cex.scenario.name].needs_kernel:
        return
    made = _model(cex.scenario.name)
    if replay(cex, made.model, property_of(made.model, cex.prop.name)) is None:
        assert not differences(cex, cex)


@cache
def _model(name: str) -> Built:
    return built(shipped_scenarios()[name], None, files_of(None))


def _certificate(data: bytes, rng: random.Random) -> None:
    with contextlib.suppress(UnicodeDecodeError):
        read_certificate(data.decode(), "fuzzed.smt2")


def _run(data: bytes, rng: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run.json").write_bytes(data)
        view = Overview(read_run(folder))
        FILES[rng.choice(sorted(FILES))][1](view, None)


def _line(data: bytes, rng: random.Random) -> None:
    words = data.decode("utf-8", "replace").split("\n")
    if words[:1] in (["museum"], ["explore"], ["prove"], ["explain"]):  # these compute for minutes when they are right
        words = [*words, "--no-such-option"]
    if words[:1] == ["verify"]:
        words = [*words, "--scenario", "no-such-scenario"]
    with tempfile.TemporaryDirectory() as folder:
        here = os.getcwd()
        os.chdir(folder)
        try:
            result = CliRunner().invoke(tdpcheck, words)
        finally:
            os.chdir(here)
    if isinstance(result.exception, Late):
        raise result.exception
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2, 3), result.exit_code
    assert "Traceback" not in result.output, result.output
    assert "fault of tdpcheck" not in result.output, result.output


# Good inputs


def _patches() -> list[bytes]:
    patches = [item.patch for item in shipped_items().values()]
    mail = b"From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n"
    return [*patches, b"".join(mail + p if not p.startswith(b"From ") else p for p in patches[:3])]


def _documents() -> list[bytes]:
    return [path.read_bytes() for path in sorted(GOLDEN.glob("*.cex.json"))]


def _certificates() -> list[bytes]:
    small = ground(table_cache.system, Geometry({"Page": 2, "Device": 2, "Thread": 2}))
    clauses = [Lemma(x.name, small.formula(x.holds), x.sentence) for x in table_cache.lemmas]
    lemmas = table_cache.no_stale_cache.lemmas or (Lemma("p", table_cache.no_stale_cache.holds, "p"),)
    return [
        grounded(small, table_cache.no_stale_cache, clauses).encode(),
        parametric(table_cache.system, table_cache.no_stale_cache, lemmas, digest="abc", scenario="none").encode(),
    ]


def _scenarios() -> list[bytes]:
    import tdpcheck.model.scenarios as room

    return [path.read_bytes() for path in sorted(Path(next(iter(room.__path__))).glob("*.toml"))]


_LINES = [
    "list\nscenarios", "list\nproperties\n--json", "show\n--schema", "verify\n--scenario\nnowhere", "verify\n--change\nnone.patch",
    "show\nx.cex.json\n--as\nsvg", "replay\nx.cex.json\n--change\ny.patch", "report\nout\n--against\nold\n--as\nmd", "cache\n--json",
    "check-certificate\nx.smt2\n--solver\nz3\n--timeout\n1", "check-certificate\nx.smt2\n--timeout\ninf", "--help", "--version",
    "export\nmm-exit\n--property\nno_such\n--to\nsmt2", "check-exercise\ntwo-walkers\n--part\nbreak", "verify\n--kernel\n.\n--rev\nHEAD",
    "verify\n--depth\n5\n--states\n0\n--timeout\nnan\n--jobs\n2\n--memory\n300\n--scenario\nx", "verify\n--kernel\n/dev/null",
]  # fmt: skip

KINDS: dict[str, tuple[Callable[[bytes, random.Random], None], Callable[[], list[bytes]], int]] = {
    "patch": (_patch, _patches, 25),
    "c": (_c, lambda: [text.encode() for name, text in files_of(None).items() if name.endswith(".c")], 15),
    "scenario": (_scenario, _scenarios, 10),
    "overlay": (_overlay, lambda: [b"[geometry]\niommus = 2\n", b"goals = []\n[start]\ntables = 'pages'\n"], 5),
    "document": (_document, _documents, 15),
    "replay": (_replay, _documents, 5),
    "certificate": (_certificate, _certificates, 10),
    "run": (_run, lambda: [to_json(plain_run()).encode(), to_json(series_run()).encode()], 10),
    "line": (_line, lambda: [line.encode() for line in _LINES], 5),
}
"""Each kind of input: who reads it, good ones, and how many of a hundred are of this kind."""


# How an input is spoiled

_NUMBERS = [
    b"0",
    b"-1",
    b"1",
    b"2",
    b"255",
    b"4097",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"1e400",
    b"9" * 5000,
    b"0x",
    b"08",
    "\u00b2".encode(),
    "\u0663".encode(),
    b"bv" + b"9" * 5000,
]
_PIECES = [
    b"\0", b"\xff\xfe", b"\x1b[31m", b"\r\n", b"\n", b'"', b"'", b"\\", b"\\\n", b"(", b")", b"{", b"}", b"[", b"]", b"#if 1\n",
    b"#endif\n",
    b"#define X X X\n", b"/*", b"*/", b"//", b"@@ -1,1 +1,1 @@\n", b"--- a/x\n", b"+++ b/x\n", b"null", b"true", b"[]", b"{}", b"|", b";",
    b"(forall ((x Int)) ", b"(let ((x x)) ", b"Content-Transfer-Encoding: base64\n", b"Content-Type: text/plain; charset=punycode\n",
    b"=?utf-8?b?//8=?=", "\u202e".encode(), b"goto out;", b"asm(\"\");", b"__attribute__((x))", b"nan", b"inf", b"..", b"/dev/zero",
    b"a.", b"{a = ", b'{"a":', b"[[a]]\n",
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\n", b"=?utf-8?q?x?= ",
]  # fmt: skip


def spoiled(good: bytes, other: bytes, rng: random.Random) -> bytes:
    """An input with a few things wrong."""
    data = good
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = rng.choice(_WAYS)(data, other, rng)
    return data[: 1 << 20]


def _at(data: bytes, rng: random.Random) -> int:
    return rng.randrange(len(data) + 1)


def _flip(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = _at(data, rng)
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _cut(data: bytes, other: bytes, rng: random.Random) -> bytes:
    begin = _at(data, rng)
    return data[:begin] + data[begin + rng.choice((1, 2, 5, 30, 500, len(data))) :]


def _insert(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = _at(data, rng)
    return data[:at] + rng.choice(_PIECES) * rng.choice((1, 1, 1, 3, 300, 5000)) + data[at:]


def _number(data: bytes, other: bytes, rng: random.Random) -> bytes:
    places = list(re.finditer(rb"-?\d+", data))
    if not places:
        return data
    place = rng.choice(places)
    return data[: place.start()] + rng.choice(_NUMBERS) + data[place.end() :]


def _lines(data: bytes, other: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines[one], lines[two] = lines[two], lines[one]
        case 1:
            lines.insert(one, lines[two])
        case 2:
            del lines[min(one, two) : max(one, two)]
        case _:
            lines[one:one] = lines[two : two + 20] * rng.choice((1, 2, 200))
    return b"\n".join(lines)


def _word(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Exchange a word, a string or a value for one from elsewhere."""
    pattern = rng.choice((rb"\w+", rb'"[^"\n]*"', rb"\[[^\[\]]*\]", rb"\{[^{}]*\}", rb"\([^()]*\)"))
    places, others = list(re.finditer(pattern, data)), list(re.finditer(pattern, other))
    if not places or not others:
        return data
    place = rng.choice(places)
    return data[: place.start()] + rng.choice(others).group() + data[place.end() :]


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[: _at(data, rng)] + other[_at(other, rng) :]


_WAYS = [_flip, _cut, _insert, _number, _number, _lines, _lines, _word, _word, _word, _splice]


# Running


def tried(kind: str, data: bytes, seed: int = 0) -> str:
    """What is wrong with how an input is read: '' if nothing is."""
    reader = KINDS[kind][0]
    signal.signal(signal.SIGPROF, _late)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        reader(data, random.Random(seed))
    except EngineError:
        return traceback.format_exc()
    except (TdpcheckError, MemoryError):
        return ""
    except Late:
        return f"more than {LIMIT:.0f} s\n{traceback.format_exc()}"
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def _late(number: int, frame: FrameType | None) -> NoReturn:
    raise Late


def corpus() -> Iterator[tuple[str, Path]]:
    """The inputs that were once read wrongly, with their kinds."""
    for path in sorted(CORPUS.glob("*/*")):
        yield path.parent.name, path


def inputs(kind: str, count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """So many spoiled inputs of a kind, each with a seed of its own; the same again for the same seed."""
    good = [*KINDS[kind][1](), *(path.read_bytes() for known, path in corpus() if known == kind)]
    for number in range(count):
        own = int.from_bytes(hashlib.sha256(f"{kind} {seed} {number}".encode()).digest()[:6])
        rng = random.Random(own)
        yield own, spoiled(rng.choice(good), rng.choice(good), rng)


def main(arguments: list[str] | None = None) -> int:
    """Try many inputs; leave those that are read wrongly where they can be looked at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=int(os.environ.get("TDPCHECK_FUZZ", "2000")), help="inputs over all kinds")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TDPCHECK_SEED", "1")))
    parser.add_argument("--kind", choices=sorted(KINDS), help="this kind alone")
    parser.add_argument("--out", default="out/fuzz", help="where inputs are left that are read wrongly")
    given = parser.parse_args(arguments)
    started, wrong, seen, slowest = time.monotonic(), 0, set[str](), (0.0, "")
    for kind, (_, _, share) in KINDS.items():
        if given.kind not in (None, kind):
            continue
        count, computing = given.count if given.kind else given.count * share // 100, time.process_time()
        for seed, data in inputs(kind, count, given.seed):
            begun = time.process_time()
            said = tried(kind, data, seed)
            slowest = max(slowest, (time.process_time() - begun, f"{kind} {seed}"))
            if said:
                wrong += 1
                where = said.strip().splitlines()[-1][:200] + "".join(re.findall(r"line \d+, in \w+", said)[-1:])
                if where not in seen:
                    seen.add(where)
                    path = Path(given.out) / kind / hashlib.sha256(data).hexdigest()[:12]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
                    path.with_suffix(".txt").write_text(f"seed {seed}\n{said}")
                    print(f"{kind}: {where}: {path}", flush=True)
        print(f"{kind}: {count} inputs, {1000 * (time.process_time() - computing) / max(1, count):.0f} ms of computing each", flush=True)
    print(f"{wrong} read wrongly; the slowest took {slowest[0]:.1f} s ({slowest[1]}); {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
