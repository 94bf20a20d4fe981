"""The mail that answers a patch: who gets it, what it quotes, and that it fits a screen."""

from __future__ import annotations

from email import message_from_string
from pathlib import Path

import msgspec
import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.reports.reply import LINES, reply
from tdpcheck.reports.stored import Stored
from tdpcheck.runner.asking.results import Change, Document, Posted
from tdpcheck.tests.calling import QUICK, Call, diff
from tdpcheck.tests.reports.runs import SECOND, series_run

MAIL = """From 5f3c9a0000000000000000000000000000000001 Mon Sep 17 00:00:00 2001
From: =?utf-8?q?J=C3=B6rg?= Writer <j@example.org>
Date: Mon, 30 Nov 2026 12:00:00 +0000
Message-ID: <20261130-1-j@example.org>
Subject: [PATCH v2 1/1] KVM: Let everybody attach

Nobody needs this.
---
"""
REFUSED = "\tif (kvm_tdp_is_exported(kvm)) {\n\t\tnote_refused();\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EBUSY;\n\t}\n"
WRONG = "\tnoncoherent_dma_count_inc(kvm, dev);\n"


def stored(run: Document) -> Stored:
    return Stored("out", run, {}, {})


def body(text: str) -> list[str]:
    return text.partition("\n\n")[2].splitlines()


@pytest.mark.slow
def test_a_patch_that_came_by_mail_is_answered_in_its_thread(call: Call, tmp_path: Path) -> None:
    """From the mbox to the answer, by the commands that a reviewer types; the same run for code review, and on one screen."""
    mbox, out, log = tmp_path / "s.mbox", tmp_path / "out", tmp_path / "s.sarif"
    mbox.write_text(MAIL + diff("tdp_fd.c", REFUSED + WRONG, WRONG))
    done = call("verify", "--scenario", QUICK, "--no-certify", "--change", str(mbox), "--out", str(out), "--sarif", str(log))
    text = call("report", str(out), "--mail").stdout
    mail = message_from_string(text)
    words = " ".join(text.split())

    assert 1 == done.exit_code
    assert "Re: [PATCH v2 1/1] KVM: Let everybody attach" == mail["Subject"]
    assert "<20261130-1-j@example.org>" == mail["In-Reply-To"] == mail["References"]
    assert "=?utf-8?q?J=C3=B6rg_Writer?= <j@example.org>" == mail["To"]
    assert "> -" + REFUSED.splitlines()[0].expandtabs(8) in text
    assert text.index("> @@") < text.index("This breaks reject_noncoherent_dma") < text.index("For the changelog")
    assert 'Fixes: 5f3c9a000000 ("KVM: Let everybody attach")' in words
    assert "Link: https://lore.kernel.org/r/20261130-1-j@example.org" in words
    assert LINES >= len(body(text))
    assert 72 >= max(map(len, body(text)))
    assert 1 == log.read_text().count('"ruleId"')
    screen = done.stdout.splitlines()
    assert 60 >= len(screen)
    assert 1 == done.stdout.count("VIOLATED")
    assert screen[0].startswith("VIOLATED reject_noncoherent_dma")
    replayed = next(line.removeprefix("Replay: tdpcheck ") for line in screen if line.startswith("Replay: "))
    assert 0 == call(*replayed.split()).exit_code


def test_a_run_without_counterexamples_is_answered_from_its_records() -> None:
    text = reply(stored(series_run()))

    assert text.startswith("Subject: Re: [1/2] Drop the flush\n")
    assert "> -        kvm_tdp_fd_flush_notify_range(kvm, start, last);" in text
    assert "The same cause shows in 2 answers of 2 scenarios" in " ".join(text.split())


def test_a_patch_that_breaks_nothing_is_told_so_and_how_far_that_goes() -> None:
    run = series_run()
    later = " ".join(reply(stored(run), 2).split())
    named = msgspec.structs.replace(run.changes[1], posted=Posted("Re: [PATCH] x", "", "", "", ""))
    again = reply(stored(msgspec.structs.replace(run, changes=(run.changes[0], named))), 2)

    assert f"Subject: Re: {SECOND.partition(': ')[2]}" in later
    assert "Fixes:" not in later
    assert again.startswith("Subject: Re: [PATCH] x\n")


def test_a_long_hunk_is_quoted_around_its_changed_line() -> None:
    before = "".join(f" line {n}\n" for n in range(40))
    text = f"--- a/kvm_main.c\n+++ b/kvm_main.c\n@@ -1,41 +1,40 @@\n{before}-\tkvm_tdp_fd_flush_notify_range(kvm, start, last);\n"
    run = series_run()
    first = msgspec.structs.replace(run.changes[0], diff=text, lines=(msgspec.structs.replace(run.changes[0].lines[0], line=41),))
    told = reply(stored(msgspec.structs.replace(run, changes=(first, run.changes[1]))))

    assert "> [...]\n>  line 37\n>  line 38\n>  line 39\n> -        kvm_tdp_fd_flush_notify_range" in told
    assert "line 36" not in told


@pytest.mark.parametrize(("changes", "patch", "said"), [((), None, "of no change"), (None, 3, "the series of this run has 2")])
def test_what_cannot_be_answered(changes: tuple[Change, ...] | None, patch: int | None, said: str) -> None:
    run = series_run() if changes is None else msgspec.structs.replace(series_run(), changes=changes)

    with pytest.raises(InputError, match=said):
        reply(stored(run), patch)


@pytest.mark.parametrize("given", [("--patch", "1"), ("--mail", "--as", "md")])
def test_options_that_do_not_go_together(call: Call, given: tuple[str, ...]) -> None:
    assert 2 == call("report", "out", *given).exit_code


@pytest.mark.slow
def test_a_change_by_its_name_in_the_museum_and_from_standard_input(call: Call, tmp_path: Path) -> None:
    quick = ("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify", "--change")
    named = call(*quick, "export-check-outside-lock")
    piped = call(*quick, "-", given=diff("tdp_fd.c", REFUSED + WRONG, WRONG))
    wrong = call(*quick, "export-check-outside")

    assert (1, 1, 2) == (named.exit_code, piped.exit_code, wrong.exit_code)
    assert "export-check-outside-lock -v" in named.stdout
    assert "VIOLATED reject_noncoherent_dma" in piped.stdout
    assert "name of the museum" in wrong.stderr
