"""`report`: what a run says, as a page, as Markdown and as a mail; two runs side by side; folders that hold no run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from tdpcheck.cli.report import FILES
from tdpcheck.reports.compare import Comparison, turn_of
from tdpcheck.reports.mail import mail
from tdpcheck.reports.markdown import markdown
from tdpcheck.reports.overview import Overview
from tdpcheck.reports.page import page
from tdpcheck.reports.stored import Stored, read_run
from tdpcheck.runner.asking.results import SCHEMA, Change, Document, MuseumDocument, MuseumItem, Result, document
from tdpcheck.runner.documents import to_json
from tdpcheck.tests.calling import QUICK, Call
from tdpcheck.tests.reports.runs import FIRST, SECOND, answer, leave, line, plain_run, series_run

GOLDEN = Path(__file__).parent / "golden"


def view(run: Document) -> Overview:
    return Overview(Stored("out", run, {}, {}))


def compared(old: Document, new: Document) -> Comparison:
    return Comparison(view(old), view(new))


@pytest.mark.parametrize("form", list(FILES))
@pytest.mark.parametrize("name", ["plain", "series"])
def test_each_form_is_as_it_was_read_in_review(name: str, form: str) -> None:
    """Re-made by TDPCHECK_GOLDEN=1; twice the same run gives the same bytes."""
    made = [
        FILES[form][1](view(run), Comparison(view(plain_run()), view(run)) if name == "series" else None)
        for run in [plain_run() if name == "plain" else series_run()] * 2
    ]
    path = GOLDEN / f"report-{name}.{form}"
    if os.environ.get("TDPCHECK_GOLDEN"):
        path.write_text(made[0], encoding="utf-8")

    assert made[0] == made[1]
    assert path.read_text(encoding="utf-8") == made[0]


# Known bugs


def bug(name: str, prop: str, *, got: str = "violated", ok: bool = True) -> MuseumItem:
    return msgspec.convert(
        {"name": name, "property": prop, "scenario": "s", "expected": "violated", "got": got, "depth": 3, "good_twin": "Proved",
         "twin": "proved",
         "seconds": 1.0, "ok": ok},
        MuseumItem,
    )  # fmt: skip


def test_a_report_says_which_known_bugs_are_found_again_if_the_museum_was_asked(call: Call, tmp_path: Path) -> None:
    """Green answers are worth as much as the questions are sharp; without a visit to the museum nothing is claimed."""
    folder = Path(leave(plain_run(), tmp_path / "out"))
    items = (
        bug("a", "no_stale_io_mapping"), bug("b", "no_stale_io_mapping", got="holds_up_to", ok=False), bug("c", "root_liveness"),
    )  # fmt: skip
    before = [FILES[form][1](Overview(read_run(str(folder))), None) for form in FILES]
    (folder / "museum.json").write_text(to_json(MuseumDocument(SCHEMA, items)))
    after = [" ".join(FILES[form][1](Overview(read_run(str(folder))), None).split()) for form in FILES]

    assert not any("known bugs" in report for report in before)
    for report in after:
        assert "2 of 3 known bugs of the museum are found again; not as they should be: b." in report
        assert "1 of 2" in report
    assert Overview(Stored("out", plain_run(), {}, {}, items[:1])).bugs_found.endswith("found again, and no good twin is flagged.")
    (folder / "museum.json").write_text("{}")
    broken = call("report", str(folder))
    assert 2 == broken.exit_code
    assert "museum.json: JSON, but not a report of the museum; delete it" in broken.stderr


def test_the_museum_leaves_what_it_found(call: Call, tmp_path: Path) -> None:
    """Where a report looks for it."""
    result = call("museum", "attach-noncoherent-device", "--out", str(tmp_path / "out"))
    (item,) = msgspec.json.decode((tmp_path / "out" / "museum.json").read_bytes(), type=MuseumDocument).items

    assert 0 == result.exit_code
    assert ("attach-noncoherent-device", "violated", True) == (item.name, item.got, item.ok)


# The page


class Seen(HTMLParser):
    """What a browser would act upon."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.depth: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in ("meta", "link", "input", "br", "wbr"):
            self.depth.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.targets += [given[name] or "" for name in ("href", "src") if name in given]
        assert not any(name.startswith("on") for name in given)

    def handle_endtag(self, tag: str) -> None:
        assert self.depth.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("run", [plain_run(), series_run()])
def test_the_page_asks_nobody_for_anything_and_its_links_lead_somewhere(run: Document) -> None:
    seen = Seen(page(view(run)))
    inside = [t[1:] for t in seen.targets if t.startswith("#")]
    outside = {t for t in seen.targets if not t.startswith("#")}

    assert not {"script", "iframe", "object", "form"} & set(seen.tags)
    assert not seen.depth
    assert len(seen.ids) == len(set(seen.ids))
    assert set(inside) <= set(seen.ids)
    assert outside == {"data:,", "run.json", "report.md", "report.txt"}


def test_names_that_look_alike_in_an_address_are_told_apart() -> None:
    run = document([answer("p", s, change=c) for s in ("a b", "a-b", "é") for c in ("x:y", "x y")])
    seen = Seen(page(view(run)))

    assert len(seen.ids) == len(set(seen.ids))
    assert {t[1:] for t in seen.targets if t.startswith("#")} <= set(seen.ids)


@pytest.mark.slow
def test_a_long_series_stays_a_page_that_a_browser_and_a_mail_like() -> None:
    """42 patches, 30 scenarios and 8 properties: ten thousand answers."""
    names = [f"s.mbox: [{n}/42] A patch" for n in range(1, 43)]
    records = [answer(f"property_{p}", f"scenario-{s}", change=c) for s in range(30) for p in range(8) for c in names]
    run = view(document(records, [Change(c, c, True, tuple(line(f"f({n});") for n in range(20))) for c in names]))

    assert len(page(run)) < 300_000
    assert len(markdown(run)) < 65_536, "what a comment on a pull request may have"
    assert len(mail(run)) < 40_000


def test_no_verdict_depends_on_colour_alone() -> None:
    """Each has its mark and its words."""
    text = page(view(plain_run()))
    chips = re.findall(r'<(?:a|span) class="verdict (\w+)"[^>]*>(.*?)</(?:a|span)>\s', text, re.DOTALL)
    marks = {"good": "✓", "bad": "✗", "known": "◇", "open": "?"}

    assert {"good", "known", "open"} <= {tone for tone, _ in chips}
    assert all(marks[tone] in words for tone, words in chips)


def test_what_a_patch_says_is_no_markup() -> None:
    text = page(view(series_run()))

    assert "<elsewhere>" not in text
    assert "Count &lt;elsewhere&gt; | there" in text
    assert "&lt;elsewhere&gt; \\| there" in markdown(view(series_run()))


def test_proofs_sizes_premises_and_stuck_states_are_shown(tmp_path: Path) -> None:
    """A certificate by its hash, with a link to its file if that was left; sizes, premises, what nobody executes, where threads rest."""
    raw = json.loads(to_json(plain_run()))
    stuck = {"threads": {"notifier": "kvm_main.c:9: wait()"}, "states": 4, "trace": [], "declared": False}
    raw["results"][1] |= {
        "verdict": "proved",
        "certificate": "ab12cd",
        "sizes": "every size",
        "files": ["quiet.smt2", "../x.smt2"],
        "premise": 3,
        "cached": True,
    }
    raw["results"][0] |= {"verdict": "proved", "certificate": "ff00", "sizes": "2 gfns, 1 thread", "files": ["gone.smt2"]}
    circle = stuck | {"threads": {"notifier": "kvm_main.c:9: wait()", "fault": "mmu.c:7: x"}, "going": {"fault": ["map"]}, "loop": 0}
    raw["results"][5] |= {"deadlock": {"free": False, "stuck": [stuck]}, "undeclared": ["f.g: return -EINTR"], "sizes": None}
    raw["results"][5] |= {"livelock": {"free": False, "circles": [circle]}}
    leave(plain_run(), tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text(json.dumps(raw))
    (tmp_path / "out" / "quiet.smt2").write_text("")

    text = page(Overview(read_run(str(tmp_path / "out"))))
    words = " ".join(Seen(text).words.split())

    assert '<a href="quiet.smt2"><code>ab12cd</code></a>' in text
    assert "<code>ff00</code>" in text
    assert "x.smt2" not in text
    assert "gone.smt2" not in text
    assert "Proved (every size; certificate ab12cd) as expected; from an earlier run" in words
    assert "for 2 gfns, 1 thread" in words
    assert "premise reached at 3" in words
    assert "deadlock4 states: notifier at kvm_main.c:9: wait()" in words
    assert "livelock4 states: fault goes round in map; notifier waits at kvm_main.c:9: wait()" in words
    assert "f.g: return -EINTR" in words
    assert "certificate" not in page(view(plain_run()))


def test_an_answer_without_a_model_takes_no_assumption_from_the_others() -> None:
    """A question whose worker died says nothing of its model."""
    lost = answer("p", "lost", "unknown", assumptions=(), steps={}, reason="the worker died", kind="engine-died", engine="none")

    assert view(document([HOLDS, lost])).assumptions == view(one(HOLDS)).assumptions != ()


# The mail


@pytest.mark.parametrize("old", [None, plain_run()])
@pytest.mark.parametrize("run", [plain_run(), series_run(), document([])])
def test_a_mail_is_plain_and_narrow(run: Document, old: Document | None) -> None:
    text = mail(view(run), compared(old, run) if old else None)

    assert text.isascii()
    assert "\t" not in text
    assert max(map(len, text.splitlines())) <= 72
    assert not any(row != row.rstrip() for row in text.splitlines())


def test_a_mail_tells_a_run_once_and_below_the_patch_that_brings_it_in() -> None:
    text = mail(view(series_run()))
    quoted, said = text.index("> [1/2] Drop the flush"), text.index("VIOLATED no_stale_io_mapping")

    assert quoted < said < text.index("> [2/2]")
    assert text.count("VIOLATED no_stale_io_mapping") == 1
    assert "The same run goes through in noisy and with 1 later patch, too." in " ".join(text.split())
    assert "nothing that holds is approved" in " ".join(text.split())


# What every form says


@pytest.mark.parametrize("write", [page, markdown, mail])
def test_every_form_says_what_is_open_and_what_is_taken_for_granted(write: Callable[[Overview], str]) -> None:
    made = write(view(plain_run()))
    words = " ".join((Seen(made).words if write is page else made).split())

    for told in (
        "1 is a violation that its scenario expects",
        "searched to 4 of 12; the time is up",
        "suspended: nobody agrees on what it should say",
        "memory is sequentially consistent",
        "device TLBs (ATS)",
    ):
        assert told in words or told.capitalize() in words


def test_the_worst_comes_first_and_an_interrupt_is_told() -> None:
    run = msgspec.structs.replace(series_run(), interrupted=True, not_asked=7)

    assert view(run).headline == "4 of 8 answers are unexpected violations; 2 are unknown; 2 hold as far as asked."
    assert "interrupted; 7 questions were not asked" in " ".join(mail(view(run)).split())
    assert "interrupted; 7 questions were not asked" in page(view(run))
    assert "Interrupted, 7 not asked" in markdown(view(run))


def test_patches_with_the_same_answer_stand_together() -> None:
    spans = {
        p: [(s.numbers, s.cell.short) for s in view(series_run()).spans(s, p)]
        for s, p in (("quiet", "no_stale_io_mapping"), ("quiet", "kernel_assertions"))
    }

    assert spans["no_stale_io_mapping"] == [("1–2", "violated in 3")]
    assert spans["kernel_assertions"] == [("1", "holds to 12"), ("2", "unknown: change not modelled")]
    assert view(series_run()).spans("noisy", "kernel_assertions") == ()


# Two runs


def one(record: Result) -> Document:
    return document([record])


HOLDS, PROVED, STATES = (answer("p", "s"), answer("p", "s", "proved"), answer("p", "s", states=9))
DEEPER = answer("p", "s", depth=20, asked=20)
BAD, OTHER = answer("p", "s", "violated"), answer("p", "s", "violated", depth=5, trace=())
KNOWN = answer("p", "s", "violated", expected="violated", as_expected=True)
OPEN = answer("p", "s", "unknown", reason="depth: no", kind="depth")


@pytest.mark.parametrize(
    ("old", "new", "turn"),
    [
        (HOLDS, BAD, "red"), (KNOWN, BAD, "red"), (OPEN, BAD, "red"), (None, BAD, "red"), (BAD, BAD, None), (BAD, OTHER, "other"),
        (BAD, HOLDS, "fixed"), (KNOWN, HOLDS, "fixed"), (OPEN, HOLDS, "answered"), (HOLDS, HOLDS, None), (HOLDS, DEEPER, "stronger"),
        (PROVED, HOLDS, "weaker"), (PROVED, STATES, "weaker"), (HOLDS, STATES, "stronger"), (STATES, PROVED, "stronger"),
        (STATES, DEEPER, "weaker"), (HOLDS, OPEN, "open"), (BAD, OPEN, "open"), (OPEN, OPEN, None), (BAD, KNOWN, "known"),
        (KNOWN, KNOWN, None), (HOLDS, None, "gone"), (None, HOLDS, "new"), (None, OPEN, "new"), (None, None, None),
    ],
)  # fmt: skip
def test_how_an_answer_turns(old: Result | None, new: Result | None, turn: str | None) -> None:
    cells = [None if r is None else view(one(r)).last("s", "p") for r in (old, new)]

    assert turn_of(*cells) == turn


def test_two_runs_are_compared_by_what_stands_after_the_last_patch() -> None:
    found = compared(plain_run(), series_run())

    assert found.headline == "This series turns 2 cells red and leaves 1 cell without an answer."
    assert {turn: [(n.scenario, n.prop) for n in items] for turn, items in found.news.items()} == {
        "red": [("quiet", "no_stale_io_mapping"), ("noisy", "no_stale_io_mapping")],
        "open": [("quiet", "kernel_assertions")],
        "gone": [("quiet", "flush_before_release"), ("noisy", "no_stale_spte")],
    }
    assert [(s.prop, s.before, s.after) for s in found.slower] == [("kernel_assertions", 1.25, 9.5)]
    assert found.unchanged == 1


def test_a_run_against_itself_is_no_news() -> None:
    found = compared(plain_run(), plain_run())

    assert (found.news, found.slower, found.exit_code) == ({}, (), 0)
    assert found.headline == "This run turns no cell red; every answer is as before."


def test_what_only_one_of_two_runs_was_asked_is_no_change_of_an_answer() -> None:
    """Both ways: asked in the new run alone, and no longer asked."""
    more = document([HOLDS, answer("p", "other")])

    for old, new in ((one(HOLDS), more), (more, one(HOLDS))):
        assert compared(old, new).headline == "This run turns no cell red; every answer to what both were asked is as before."
    assert compared(one(HOLDS), one(DEEPER)).headline == "This run turns no cell red, and changes other answers."


# The command


def test_the_command_leaves_three_files_and_says_what_is_news(call: Call, tmp_path: Path) -> None:
    old, new = leave(plain_run(), tmp_path / "old"), leave(series_run(), tmp_path / "new")

    alone, against = call("report", old), call("report", new, "--against", old)

    assert (alone.exit_code, against.exit_code) == (0, 1)
    assert "This series turns 2 cells red" in against.stdout
    assert {p.name for p in (tmp_path / "new").iterdir()} == {"run.json", "index.html", "report.md", "report.txt"}
    assert call("report", old, "--against", old).exit_code == 0
    assert call("report", leave(one(OPEN), tmp_path / "open"), "--against", leave(one(HOLDS), tmp_path / "held")).exit_code == 3


def test_a_form_is_printed_without_leaving_files(call: Call, tmp_path: Path) -> None:
    folder = leave(plain_run(), tmp_path / "out")

    for form, (_, write) in FILES.items():
        assert call("report", folder, "--as", form).stdout == write(view(plain_run()), None)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["run.json"]


@pytest.mark.slow
def test_a_real_run_with_a_change_from_question_to_page(call: Call, tmp_path: Path, patch: Callable[..., str]) -> None:
    change = patch("tdp_fd.c", "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n", "\tif (false) {\n")
    out = tmp_path / "out"
    logs = [str(tmp_path / name) for name in ("a.xml", "a.sarif", "b.xml", "b.sarif")]
    call("verify", "--scenario", QUICK, "--change", change, "--out", str(out), "--junit", logs[0], "--sarif", logs[1])

    result = call("report", str(out), "--junit", logs[2], "--sarif", logs[3])

    text = (out / "index.html").read_text()
    links = [t for t in Seen(text).targets if not t.startswith(("#", "data:"))]
    assert result.exit_code == 0
    assert [Path(name).read_bytes() for name in logs[:2]] == [Path(name).read_bytes() for name in logs[2:]]
    assert all("reject_noncoherent_dma" in Path(name).read_text() for name in logs)
    assert all((out / name).is_file() for name in links)
    assert any(name.endswith(".svg") for name in links)
    assert any(name.endswith(".cex.json") for name in links)
    assert "Nobody is refused" in text
    assert "weak memory ordering" in text
    assert f"VIOLATED reject_noncoherent_dma   scenario {QUICK}" in (out / "report.txt").read_text()
    (out / next(n for n in links if n.endswith(".svg"))).with_suffix(".html").write_text("<p>")
    call("report", str(out))
    assert Seen((out / "index.html").read_text()).targets.count(next(n for n in links if n.endswith(".svg")).replace(".svg", ".html")) == 1


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"schema": 99, "violation": []}'])
def test_a_counterexample_that_cannot_be_read_is_said_to_be_so(call: Call, tmp_path: Path, content: bytes | None) -> None:
    """The run is still worth its report."""
    folder = tmp_path / "out"
    leave(one(msgspec.structs.replace(BAD, files=("s.p.cex.json", "../../etc/passwd.txt"))), folder)
    if content is not None:
        (folder / "s.p.cex.json").write_bytes(content)

    result = call("report", str(folder))

    assert result.exit_code == 0
    assert "not told step by step: s.p.cex.json: " in result.stderr
    assert "passwd" not in (folder / "index.html").read_text()
    assert "spte gfn 0: A -&gt; none" in (folder / "index.html").read_text()


def test_a_counterexample_outside_the_folder_is_not_looked_at(call: Call, tmp_path: Path) -> None:
    """A run.json may come from anywhere."""
    (tmp_path / "x.cex.json").write_text("{}")
    folder = leave(one(msgspec.structs.replace(BAD, files=("../x.cex.json", "a b.cex.json", "/etc/x.cex.json"))), tmp_path / "out")

    result = call("report", folder)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "x.cex.json" not in (tmp_path / "out" / "index.html").read_text()


# Folders that hold no run


def complaint(call: Call, *arguments: str) -> str:
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (message,) = result.stderr.splitlines()
    return message.removeprefix("tdpcheck: ")


NO_RUN = [
    (
        b"",
        "run.json: the file is empty; give the folder that `tdpcheck verify --out DIR` wrote to, or run `tdpcheck verify --out DIR` again",
    ),
    (b" \n", "run.json: the file is empty"),
    (b"{", "run.json: not a JSON document"),
    (b"\xff\xfe", "run.json: not a JSON document"),
    (b"[" * 100_000, "run.json: arrays or objects nest too deep"),
    (b"[]", "run.json: JSON, but not a run of tdpcheck"),
    (b'{"schema": true, "results": []}', "run.json: JSON, but not a run of tdpcheck"),
    (b'{"schema": 2, "items": []}', "run.json: JSON, but not a run of tdpcheck"),
    (b'{"schema": 99, "results": []}', "run.json: a newer form of run of tdpcheck (schema 99)"),
    (b'{"schema": 0, "results": []}', "run.json: another form of run of tdpcheck (schema 0)"),
    (b'{"schema": 1, "model": "x", "results": []}', "run.json: another form of run of tdpcheck (schema 1)"),
    (b'{"schema": 2, "model": "x", "results": [{}]}', "run.json: not a complete run"),
    (b'{"schema": 2, "model": "x", "results": [3]}', "run.json: not a complete run"),
    (to_json(document([HOLDS, BAD])).encode(), "run.json: two answers to one question (s, p)"),
]


@pytest.mark.parametrize(("content", "message"), NO_RUN)
@pytest.mark.parametrize("place", ["OUT", "OLD"])
def test_a_run_that_is_none(call: Call, tmp_path: Path, content: bytes, message: str, place: str) -> None:
    good = leave(plain_run(), tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_bytes(content)

    said = complaint(call, "report", *([str(tmp_path / "bad")] if place == "OUT" else [good, "--against", str(tmp_path / "bad")]))

    assert message in said
    assert said.startswith(str(tmp_path / "bad"))


def test_a_folder_that_is_none(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()

    assert "there is no such folder; give the folder that `tdpcheck verify --out DIR` wrote to" in complaint(call, "report", "/nowhere")
    assert "file: is a file; give the folder" in complaint(call, "report", str(tmp_path / "file"))
    assert "empty: there is no run.json in it" in complaint(call, "report", str(tmp_path / "empty"))


def test_names_of_changes_are_those_of_the_run() -> None:
    assert view(series_run()).changes == (FIRST, SECOND)
