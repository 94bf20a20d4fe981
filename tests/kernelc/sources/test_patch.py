"""A change as a diff: what is read, where it applies, and what is said when it does not."""

from __future__ import annotations

import base64
import difflib
import quopri
import random
import re
import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdpcheck.core.errors import InputError
from tdpcheck.kernelc.sources.apply import ChangedLine, apply
from tdpcheck.kernelc.sources.patch import Patch, Unread, parse_change, parse_series
from tdpcheck.kernelc.sources.tree import open_tree

OLD = "".join(f"line {n}\n" for n in range(1, 21))
NEW = OLD.replace("line 5\n", "line five\n").replace("line 15\n", "line 15\nline 15b\n")


def diff(old: str, new: str, path: str = "dir/f.c") -> str:
    """Make a diff as git prints it."""
    pieces = []
    for line in difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}"):
        pieces.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
    return f"diff --git a/{path} b/{path}\nindex 1111111..2222222 100644\n" + "".join(pieces)


def mail(subject: str, patch: str, headers: str = "") -> str:
    """Make a mail as git format-patch writes it."""
    return (
        "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n"
        f"From: A Person <a@example.org>\nDate: Mon, 1 Jan 2024 10:00:00 +0000\nSubject: {subject}\n{headers}\n"
        f"Why this is done.\n\nSigned-off-by: A Person <a@example.org>\n---\n dir/f.c | 2 +-\n\n{patch}-- \n2.39.5\n\n"
    )


def one(text: str) -> Patch:
    """Parse a change of a single patch."""
    (patch,) = parse_change(text, "x.patch")
    return patch


# What is read


def test_a_git_diff_changes_its_files_and_accounts_for_each_line() -> None:
    """Every changed line must later be found reached, erased or unreachable."""
    done = apply(one(diff(OLD, NEW)), {"dir/f.c": OLD, "g.c": "untouched\n"})

    assert {"dir/f.c": NEW} == done.files
    assert (
        ChangedLine("dir/f.c", "removed", 5, "line 5", 5),
        ChangedLine("dir/f.c", "added", 5, "line five", 5),
        ChangedLine("dir/f.c", "added", 16, "line 15b", 16),
    ) == done.changed
    assert done.notes == ()


def test_a_format_patch_has_a_subject_and_its_signature_is_no_change() -> None:
    """The `-- ` at the end of the mail looks like a removed line."""
    patch = one(mail("[RFC PATCH v2 03/42] KVM: x86/mmu: do\n less", diff(OLD, NEW)))

    assert patch.subject == "[03/42] KVM: x86/mmu: do less"
    assert {"dir/f.c": NEW} == apply(patch, {"dir/f.c": OLD}).files


def test_an_mbox_is_a_series_in_the_order_of_its_numbers() -> None:
    """Mail arrives in any order; cover letters and replies hold no diff."""
    last = NEW.replace("line 1\n", "")
    cover = mail("[PATCH 0/2] Two things", "")
    reply = mail("Re: [PATCH 1/2] first", "").replace("Why", "> diff --git a/x b/x\n> +looks good\nWhy")
    text = cover + mail("[PATCH 2/2] second", diff(NEW, last)) + reply + mail("[PATCH 1/2] first", diff(OLD, NEW))
    first, second = parse_change(text, "series.mbox")
    middle = apply(first, {"dir/f.c": OLD}).files

    assert ["[1/2] first", "[2/2] second"] == [first.subject, second.subject]
    assert {"dir/f.c": last} == apply(second, middle).files


def test_a_sentence_that_begins_with_from_is_no_new_mail() -> None:
    """Commit messages contain such sentences, and format-patch does not quote them."""
    text = mail("[PATCH] x", diff(OLD, NEW)).replace("Why this", "From 10:00 on 1 Jan 2024 this\n\nFrom here on this")

    assert len(parse_change(text, "x.patch")) == 1


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_an_encoded_mail_is_decoded(encoding: str) -> None:
    """Mail programs encode what is not ASCII."""
    old, new = "naïve = 1;\n" + OLD, "naïve = 2;\n" + OLD
    body = ("Grüße\n---\n" + diff(old, new)).encode()
    coded = (quopri.encodestring(body) if encoding[0] == "q" else base64.encodebytes(body)).decode()
    text = "From: a@example.org\nSubject: =?utf-8?q?=5BPATCH=5D_gr=C3=BC=C3=9Fe?=\nContent-Type: text/plain; charset=utf-8\n"
    patch = one(f"{text}Content-Transfer-Encoding: {encoding}\n\n{coded}")

    assert patch.subject == "grüße"
    assert {"dir/f.c": new} == apply(patch, {"dir/f.c": old}).files


def test_a_patch_in_an_attachment_is_found() -> None:
    """Some mail programs leave a patch alone only as an attachment."""
    part = "--B\nContent-Type: text/plain\n\nSee there.\n--B\nContent-Type: text/x-patch\n\n" + diff(OLD, NEW) + "--B--\n"
    text = f"From: a@example.org\nSubject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n{part}"

    assert {"dir/f.c": NEW} == apply(one(text), {"dir/f.c": OLD}).files


def test_a_mail_in_latin_1_is_read_from_bytes() -> None:
    """Its header says how to read it."""
    head = "From: a@example.org\nSubject: x\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
    (patch,) = parse_change((head + diff("é\n", "è\n")).encode("latin-1"), "x.patch")

    assert {"dir/f.c": "è\n"} == apply(patch, {"dir/f.c": "é\n"}).files


def test_a_mail_that_travelled_with_windows_line_ends_applies() -> None:
    """Mail is CR LF on the wire; git takes it off, too."""
    assert {"dir/f.c": NEW} == apply(one(mail("[PATCH] x", diff(OLD, NEW)).replace("\n", "\r\n")), {"dir/f.c": OLD}).files


@pytest.mark.parametrize("head", ["", "Index: f.c\n=====\n", "Description: why\nFrom: me\n", "Some words before it.\n"])
def test_a_plain_diff_applies_whatever_stands_above_it(head: str) -> None:
    """`diff -u`, quilt and Subversion all add their own notes."""
    text = head + "".join(difflib.unified_diff(OLD.splitlines(True), NEW.splitlines(True), "f.c.orig\t2024-01-01", "f.c\t2024-01-02"))

    assert {"f.c": NEW} == apply(one(text), {"f.c": OLD}).files


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a/dir/f.c", "b/dir/f.c"),
        ("dir/f.c", "dir/f.c"),
        ("i/dir/f.c", "w/dir/f.c"),
        ("linux-6.1.orig/dir/f.c", "linux-6.1/dir/f.c"),
        ("model/kernel/dir/f.c", "model/kernel/dir/f.c"),
        ("a/tools/tdpcheck/model/kernel/dir/f.c", "b/tools/tdpcheck/model/kernel/dir/f.c"),
        ("/home/me/tdpcheck/model/kernel/dir/f.c", "/tmp/f.c"),
        ("/tmp/x.c", "dir/f.c"),
        ("./dir//f.c", "./dir/f.c"),
        ("dir/f.c", "dir/f.c.new"),
        ("dir/f.c.orig", "dir/f.c"),
        ('"a/dir/f\\056c"', '"b/d\\151r/f.c"'),
    ],
)
def test_paths_name_the_same_file_with_and_without_prefix(old: str, new: str) -> None:
    """-p0, -p1, two trees side by side, the path from further up, a working copy, or as git quotes it."""
    text = "".join(difflib.unified_diff(OLD.splitlines(True), NEW.splitlines(True), old, new))

    assert {"dir/f.c": NEW} == apply(one(text), {"dir/f.c": OLD, "other/g.c": OLD}).files


@pytest.mark.parametrize(
    "path",
    [
        "f.c",
        "a/f.c",
        "x/dir/f.c",
        "arch/arm64/kvm/dir/f.c",
        "a/dir/F.c",
        "a/dir/f.c/g.c",
        "a/other/dir/f.c",
        "a/mymodel/kernel/dir/f.c",
        "a/x/../dir/f.c",
        '"a/dir/f\\303\\266.c"',
    ],
)
def test_a_file_of_another_path_is_outside_and_not_a_namesake(path: str) -> None:
    """What a patch does to the file of an architecture that is not modelled says nothing of ours."""
    done = apply(one("".join(difflib.unified_diff(OLD.splitlines(True), NEW.splitlines(True), path, path))), {"dir/f.c": OLD})

    assert ({}, ()) == (done.files, done.changed)
    (outside,) = done.outside
    assert [("removed", 5), ("added", 5), ("added", 16)] == [(line.kind, line.line) for line in outside.lines]


def test_what_is_outside_does_not_keep_the_rest_from_being_applied() -> None:
    """Whether it exists is not asked: no file of it is read."""
    odd = "diff --git a/logo.png b/logo.png\nindex 1..2 100644\nBinary files a/logo.png and b/logo.png differ\n"
    moved = "diff --git a/f.sh b/g.sh\nsimilarity index 100%\nrename from f.sh\nrename to g.sh\n"
    created = "diff --git a/x.rst b/x.rst\nnew file mode 100644\n--- /dev/null\n+++ b/x.rst\n@@ -0,0 +1 @@\n+words\n"
    done = apply(one(odd + diff(OLD, NEW) + moved + created), {"dir/f.c": OLD})

    assert {"dir/f.c": NEW} == done.files
    assert ["logo.png", "g.sh", "x.rst"] == [o.path for o in done.outside]
    assert "no file logo.png is modelled (is a binary file)" == done.outside[0].why
    assert all(o.lines for o in done.outside)


def test_a_file_of_linux_comes_with_the_way_to_check_it() -> None:
    (outside,) = apply(one(diff(OLD, NEW, "virt/kvm/f.c")), {"f.c": OLD}).outside

    assert "give the tree with --kernel DIR" in outside.why
    assert "--kernel" not in apply(one(diff(OLD, NEW, "virt/kvm/f.c")), {"virt/kvm/g.c": OLD}).outside[0].why


@pytest.mark.parametrize(("old", "new"), [("a/dir/f.c", "b/other/g.c"), ("a/dir/f.c", "b/arch/arm64/dir/f.c"), ("a/dir/f.c", "b/f.c")])
def test_one_change_names_one_file(old: str, new: str) -> None:
    text = "".join(difflib.unified_diff(OLD.splitlines(True), NEW.splitlines(True), old, new))

    assert "this change names two files" in refused(text, {"dir/f.c": OLD, "other/g.c": OLD})


def test_files_are_created_and_deleted() -> None:
    """A change may bring its own header."""
    text = "--- /dev/null\n+++ b/new.h\n@@ -0,0 +1,2 @@\n+one\n+two\n--- a/old.h\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n"
    done = apply(one(text), {"old.h": "gone\n"})

    assert {"new.h": "one\ntwo\n"} == done.files
    assert done.deleted == ("old.h",)
    assert ChangedLine("old.h", "removed", 1, "gone", 0) == done.changed[-1]


def test_the_missing_newline_at_the_end_is_kept_added_and_removed() -> None:
    """It is part of what must match exactly."""
    for old, new in [("a\nb", "c\nb"), ("a\nb", "a\nb\n"), ("a\nb\n", "a\nb"), ("a", "b"), ("a\nb", "a")]:
        assert {"f.c": new} == apply(one(diff(old, new, "f.c")), {"f.c": old}).files
    with pytest.raises(InputError, match="only the line end differs"):
        apply(one(diff("a\nb\n", "c\nb\n", "f.c")), {"f.c": "a\nb"})


def test_a_removed_line_at_the_end_is_near_the_last_line_left() -> None:
    """A report must have some line of the new file to point at."""
    done = apply(one(diff("a\nb\nc\n", "a\n", "f.c")), {"f.c": "a\nb\nc\n"})

    assert [(2, 1), (3, 1)] == [(line.line, line.near) for line in done.changed]


def test_form_feeds_do_not_end_lines() -> None:
    """Old C files have them, and Python counts them as line ends."""
    old, new = "a\x0cb\nc\x85d\n", "a\x0cb\ne\x85d\n"
    text = "--- a/f.c\n+++ b/f.c\n@@ -1,2 +1,2 @@\n a\x0cb\n-c\x85d\n+e\x85d\n"

    assert {"f.c": new} == apply(one(text), {"f.c": old}).files


def test_removed_and_added_lines_that_look_like_headers_are_lines() -> None:
    """`--x;` removed reads `---x;`, and `++ x` added reads `+++ x`."""
    old, new = "a\n-- x\nb\n", "a\n++ x\nb\n"

    assert {"f.c": new} == apply(one(diff(old, new, "f.c")), {"f.c": old}).files


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        ("=?utf-8?q?=00=1b=5d0;x=07?=", "\x00\x1b]0;x\x07"),
        ("=?punycode?q?x=f6?=", "x\ufffd"),
        ("=?martian?b?eA==?=", "x"),
        ("=?utf-8?b?x?=", "=?utf-8?b?x?="),
        ("=?utf-8?q?=ff?= =?utf-8?q?y?=", "\ufffdy"),
        ("=?utf-8?x?y?=", "=?utf-8?x?y?="),
        ("plain \xff", "plain \xff"),
    ],
)
def test_whatever_a_subject_is_made_of_it_is_text(header: str, subject: str) -> None:
    assert subject == one(f"From: a\nSubject: {header}\n\n{diff(OLD, NEW)}").subject


NESTED = "Content-Type: message/rfc822\n\n"


@pytest.mark.parametrize("deep", ["".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(5000)), NESTED * 5000])
def test_parts_in_parts_of_a_mail_are_refused(deep: str) -> None:
    """By a sentence, and not by how deep Python goes."""
    with pytest.raises(InputError, match=r"^s\.mbox: the parts of the mail nest too deep; save the patch alone"):
        parse_change(f"From: a\nSubject: x\n{deep}\nx\n".encode(), "s.mbox")


def test_a_title_of_many_words_takes_no_time() -> None:
    begun = time.process_time()
    title = one(f"From: a\nSubject: {'=?utf-8?q?x?= ' * 100_000}\n\n{diff(OLD, NEW)}").subject

    assert title.startswith("xxx")
    assert time.process_time() - begun < 3


def test_of_a_series_each_message_is_read_for_itself() -> None:
    """One that cannot be read keeps its place and its title."""
    bad = mail("[PATCH 2/3] odd", diff(OLD, NEW), "Content-Type: text/plain; charset=punycode\n")
    text = mail("[PATCH 3/3] last", diff(OLD, NEW)) + bad + mail("[PATCH 1/3] first", diff(OLD, NEW))

    first, second, third = parse_series(text, "s.mbox")

    assert (Patch, Unread, Patch) == (type(first), type(second), type(third))
    assert isinstance(second, Unread)
    assert ("[2/3] odd", "s.mbox: the mail is written in an unknown character set, 'punycode'; save it as UTF-8") == (
        second.subject,
        second.why,
    )


# Where it applies


def test_a_hunk_that_moved_applies_and_says_so() -> None:
    """An offset is harmless, but never a secret."""
    done = apply(one(diff(OLD, NEW)), {"dir/f.c": "top\nmore\n" + OLD})

    assert {"dir/f.c": "top\nmore\n" + NEW} == done.files
    assert [("added", 7), ("added", 18)] == [(line.kind, line.line) for line in done.changed if line.kind == "added"]
    assert "x.patch:5: hunk 1 of dir/f.c applies 2 lines below its place, at line 4" == done.notes[0]
    assert len(done.notes) == 2


def test_the_nearest_of_several_places_is_taken() -> None:
    """Two functions may look alike; the line number says which is meant."""
    block = "{\n\tg();\n}\n"
    old = block * 3
    text = "--- a/f.c\n+++ b/f.c\n@@ -5,3 +5,3 @@\n {\n-\tg();\n+\th();\n }\n"
    done = apply(one(text), {"f.c": old})

    assert {"f.c": block + "{\n\th();\n}\n" + block} == done.files
    assert len(done.notes) == 1


def test_two_places_equally_near_are_refused() -> None:
    """A guess would check another change than the one that was proposed."""
    text = "--- a/f.c\n+++ b/f.c\n@@ -2,1 +2,1 @@\n-x\n+y\n"

    with pytest.raises(InputError, match="fits as well at line 1 as at line 3"):
        apply(one(text), {"f.c": "x\n-\nx\n"})


LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\tif (x)\n", "\n", "-- \n", "+++ x\n", "--- y\n", "@@ z\n"]), max_size=12)


@given(LINES, LINES)
def test_a_diff_of_two_texts_turns_one_into_the_other(old: list[str], new: list[str]) -> None:
    """Whatever the lines look like."""
    text = diff("".join(old), "".join(new), "f.c")
    if old != new:
        done = apply(one(text), {"f.c": "".join(old)})
        added = [line for line in done.changed if line.kind == "added"]

        assert {"f.c": "".join(new)} == done.files
        assert all(new[line.line - 1] == line.text + "\n" for line in added)
        assert all(old[line.line - 1] == line.text + "\n" for line in done.changed if line.kind == "removed")


# What is refused


def refused(text: str | bytes, files: dict[str, str] | None = None) -> str:
    """Return the message with which a change is refused."""
    try:
        for patch in parse_change(text, "x.patch"):
            apply(patch, {"dir/f.c": OLD} if files is None else files)
    except InputError as error:
        return str(error)
    return pytest.fail("the change was accepted")


def test_a_hunk_that_does_not_apply_says_what_it_expects_and_what_is_there() -> None:
    """Patch name, line, file, both texts, and what to do."""
    message = refused(diff(OLD, NEW), {"dir/f.c": OLD.replace("line 7", "line seven")})

    assert message == (
        "x.patch:5: hunk for dir/f.c does not apply: line 12 of the patch expects `line 7` at line 7, "
        "but the file has `line seven`; make the patch against this version of the file"
    )


def test_white_space_is_context_like_any_other() -> None:
    """Fuzz is how a change ends up in the wrong function."""
    message = refused(diff(OLD, NEW), {"dir/f.c": OLD.replace("line 7", "line\t7")})

    assert "expects `line 7` at line 7, but the file has `line\\t7`; only white space differs" in message
    assert "only the line end differs" in refused(diff(OLD, NEW), {"dir/f.c": OLD.replace("\n", "\r\n")})
    assert "only the line end differs" in refused(diff(OLD, NEW).replace("\n", "\r\n"))


def test_a_change_that_is_there_already_is_recognised() -> None:
    """It is the commonest reason for a hunk that does not apply."""
    assert "seems to be applied already" in refused(diff(OLD, NEW), {"dir/f.c": NEW})


def test_a_short_file_is_said_to_end() -> None:
    """The hunk's place is behind the last line."""
    assert "but the file ends there" in refused(diff(OLD, NEW), {"dir/f.c": "line 2\nline 3\n"})
    assert "but the file ends there" in refused(diff(OLD, NEW), {"dir/f.c": ""})


def test_of_a_file_and_its_namesake_further_down_the_path_decides() -> None:
    """`git diff` in the root of this project writes model/kernel/linux-6.1/tdp_mmu.c, and there is a tdp_mmu.c, too."""
    (patch,) = parse_change(diff(OLD, NEW, "model/kernel/x/f.c"), "c.patch")

    assert {"x/f.c": NEW} == apply(patch, {"f.c": OLD, "x/f.c": OLD}).files
    assert {"x/f.c": NEW} == apply(one(diff(OLD, NEW, "x/f.c")), {"f.c": OLD, "x/f.c": OLD}).files


def test_a_created_file_must_not_exist_and_a_deleted_one_must_end_empty() -> None:
    """Otherwise the patch is for another state of the files."""
    created = "--- /dev/null\n+++ b/dir/f.c\n@@ -0,0 +1 @@\n+one\n"
    deleted = "--- a/dir/f.c\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-line 1\n"

    assert "creates dir/f.c, but this file exists" in refused(created)
    assert "deleting dir/f.c leaves text in it" in refused(deleted)


def test_an_insertion_without_context_is_refused() -> None:
    """Nothing shows that it is put where it belongs."""
    assert "has no context" in refused("--- a/dir/f.c\n+++ b/dir/f.c\n@@ -3,0 +4,1 @@\n+new\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        (b"\x00\x01", "this is a binary file"),
        ("Hello.\n", "there is no diff in this file"),
        (mail("[PATCH 0/3] only a cover letter", ""), "there is no diff in this file"),
        (b"From: a\nSubject: x\n\n\xff\n", "is not utf-8"),
        (b"From: a\nSubject: x\nContent-Type: text/plain; charset=martian\n\nx\n", "unknown character set, 'martian'"),
        *(
            (f"From: a\nSubject: x\nContent-Type: text/plain; charset={odd}\n\nx \xf6\n".encode(), f"unknown character set, {odd!r}")
            for odd in ("punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "rot13", "base64", "utf-7", "zip")
        ),
        (b"From: a\nSubject: x\nContent-Type: text/plain; charset=utf-16\n\nxy\n", "is not utf-16"),
        (b"From: a\nSubject: x\nContent-Transfer-Encoding: quoted-printable\n\n=00--- a/f\n", "has a NUL character"),
        ("diff --git a/dir/f.c b/g\nsimilarity index 100%\nrename from dir/f.c\nrename to g\n", "this change names two files"),
        ("diff --git a/dir/f.c b/dir/f.c.old\nsimilarity index 90%\ncopy from dir/f.c\ncopy to dir/f.c.old\n", "is renamed or copied"),
        ("diff --git a/dir/f.c b/dir/f.c\nold mode 100644\nnew mode 100755\n", "changes only its mode"),
        ("diff --git a/dir/f.c b/dir/f.c\nindex 1..2 100644\nGIT binary patch\nliteral 3\nKc$xx\n\n", "is a binary file"),
        ("diff --git a/dir/f.c b/dir/f.c\nindex 1..2 100644\nBinary files a/dir/f.c and b/dir/f.c differ\n", "is a binary file"),
        ("Binary files a/dir/f.c and b/dir/f.c differ\n", "is a binary file"),
        ("diff --git a/dir/f.c b/dir/f.c\nnew mode 120000\n--- a/dir/f.c\n+++ b/dir/f.c\n@@ -1 +1 @@\n-line 1\n+x\n", "is a symbolic link"),
        ("diff --git a/dir/f.c b/dir/f.c\n", "has no hunks"),
        ("--- a/f\n+++ b/f\n@@ -1,3 +1,3\n a\n-b\n+c\n d\n", "this hunk header is malformed: `@@ -1,3 +1,3`"),
        ("--- a/f\n+++ b/f\n@@ garbage @@\n a\n", "this hunk header is malformed"),
        ("--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n", "x.patch at line 3"),
        ("--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n+d\n", "x.patch:7: this line belongs to no hunk: `+d`"),
        ("--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n d\n", "x.patch:7: this line belongs to no hunk: `d`"),
        ("--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\nb\n c\n", "x.patch at line 3"),
    ],
)
def test_what_is_no_usable_diff_is_refused_with_the_reason(text: str | bytes, message: str) -> None:
    """Each of these would otherwise be half read, and the other half approved."""
    found = refused(text)

    assert message in found.replace("x.patch: the diff is malformed at", "x.patch at")
    assert found.startswith("x.patch")


def test_line_numbers_count_in_the_file_as_given() -> None:
    """Also in the third mail of an mbox."""
    bad = diff(OLD, NEW).replace(" line 7\n", " line seven\n")
    text = mail("[PATCH 1/2] a", diff("x\n", "y\n", "g.c")) + mail("[PATCH 2/2] b", bad)
    message = refused(text, {"dir/f.c": OLD, "g.c": "x\n"})
    (number,) = re.findall(r"line (\d+) of the patch", message)

    assert text.split("\n")[int(number) - 1] == " line seven"


def test_truncated_diffs_never_apply_silently() -> None:
    """Cut anywhere inside a hunk, a change must be refused or, between hunks, be whole."""
    lines = diff(OLD, NEW).splitlines(True)
    starts = [index for index, line in enumerate(lines) if line.startswith("@@")]
    for end in range(5, len(lines)):
        text = "".join(lines[:end])
        if end in starts:
            assert apply(one(text), {"dir/f.c": OLD}).files
        else:
            assert refused(text)


def test_a_huge_file_is_patched_in_no_time() -> None:
    """Kernel files have thousands of lines, and a failing hunk looks at all of them."""
    old = "".join(f"line {n}\n" for n in range(60_000))
    new = old.replace("line 50000\n", "changed\n")
    middle = old.index("line 49000\n")
    text = diff(old[middle:], new[middle:])

    assert "applies" in apply(one(text), {"dir/f.c": old}).notes[0]
    assert "does not apply" in refused(text.replace(" line 50002", " line x"), {"dir/f.c": old})


def test_a_diff_of_the_kernel_by_git_applies(kernel_tree: Path, tmp_path: Path) -> None:
    """The words are the kernel's, the change is made here and now."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    path = "arch/x86/kvm/mmu/tdp_mmu.c"
    old = open_tree(kernel_tree).read(path)
    new = old.replace("rcu_read_lock();", "rcu_read_lock(); checked();").replace("\trcu_read_unlock();\n", "")
    for name, text in (("a", old), ("b", new)):
        (tmp_path / name / path).parent.mkdir(parents=True)
        (tmp_path / name / path).write_text(text)
    command = ["git", "diff", "--no-index", "--no-prefix", "a", "b"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    done = apply(one(made), {path: old, "arch/x86/kvm/mmu/mmu.c": ""})

    assert {path: new} == done.files
    assert done.notes == ()


@given(st.integers(0, 10**6))
def test_a_patch_that_speaks_of_a_file_again_accounts_for_it_as_one(seed: int) -> None:
    """Two or three diffs joined: what is left without the removed lines of the old file and the added ones of the new is the same."""
    drawn = random.Random(seed)
    texts = [[f"line {n}\n" for n in range(drawn.randrange(4, 12))]]
    for version in range(drawn.randrange(2, 4)):
        text = [line for line in texts[-1] if drawn.random() < 0.8]
        for number in range(drawn.randrange(1, 4)):
            text.insert(drawn.randrange(len(text) + 1), f"new {version}.{number}\n")
        texts.append(text)
    joined = "".join(diff("".join(old), "".join(new)) for old, new in pairwise(texts))
    done = apply(one(joined), {"dir/f.c": "".join(texts[0])})
    sides = {"removed": texts[0], "added": texts[-1]}
    lines = {kind: [c for c in done.changed if c.kind == kind] for kind in sides}

    assert {"dir/f.c": "".join(texts[-1])} == done.files
    for kind, text in sides.items():
        assert all(text[c.line - 1] == c.text + "\n" for c in lines[kind])
        assert len({c.line for c in lines[kind]}) == len(lines[kind])
    kept = [[t for n, t in enumerate(sides[kind], 1) if n not in {c.line for c in lines[kind]}] for kind in sides]
    assert kept[0] == kept[1]
    assert all(1 <= c.near <= len(texts[-1]) for c in done.changed)
