"""A change as a unified diff, and how it is read: a plain diff, a mail, or a series of mails.

`unidiff` reads the hunks; this module says what a change may be and takes it out of the mail that carries it. `apply.py` applies it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Literal

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk as UnidiffHunk
from unidiff.patch import PatchedFile, PatchSet

from ...core.errors import InputError
from ..errors import shorten

_FROM_LINE = re.compile(r"^From \S.*\d\d:\d\d.*\d{4}", re.MULTILINE)
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*:[ \t]")
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@")
_ID = re.compile(r"<[!-;=?-~]+>")
_COMMIT = re.compile(rb"From (?!0{40})([0-9a-f]{40}) ")
_TAG = re.compile(r"^(?:\s*\[[^]]*\])+\s*")
_NUMBER = re.compile(r"\[[^]]*?\b(\d{1,9})/(\d{1,9})\s*\]")
PREFIX = re.compile(r"^[abciow12]/")
"""What a diff puts before the paths of its two sides: `a/` and `b/`, or what `diff.mnemonicPrefix` writes."""
_ESCAPE = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_MOST_TITLE = 10_000
"""Characters of a title that are read: the time to decode one goes with the square of its words."""
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"})
_NOWHERE = "/dev/null"
_EXPECTED = "a unified diff, as `git format-patch`, `git diff` or `diff -u` write it"


@dataclass(frozen=True, slots=True)
class HunkLine:
    """One line of a hunk; `text` ends in a newline unless the file ends without one. `at` is its line in the patch."""

    kind: Literal[" ", "+", "-"]
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Hunk:
    """A changed region: where the patch says it is in the old and new file (from 1), and its lines. `at`: line of its `@@`."""

    at: int
    old_start: int
    new_start: int
    lines: tuple[HunkLine, ...]

    @property
    def old(self) -> tuple[str, ...]:
        """Return the lines that the old file must have."""
        return tuple(line.text for line in self.lines if line.kind != "+")

    @property
    def new(self) -> tuple[str, ...]:
        """Return the lines that the new file gets in their place."""
        return tuple(line.text for line in self.lines if line.kind != "-")


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a patch does to one file.

    Args:
        old, new: the paths as written, None where the file does not exist.
        odd: why it cannot be applied to a file that is known (a rename, a binary file); empty if it can.
    """

    old: str | None
    new: str | None
    hunks: tuple[Hunk, ...]
    at: int
    odd: str = ""

    @property
    def path(self) -> str:
        """Return the path without its `a/` or `b/`, for reports."""
        return PREFIX.sub("", self.new or self.old or "")


@dataclass(frozen=True, slots=True)
class Posted:
    """What the headers of a mail say, on one line each; '' where one is missing.

    Args:
        subject: with its tags, as `[PATCH v2 1/3] KVM: ...`.
        message_id: in its angle brackets.
        commit: the hash on the `From ` line that git writes above the headers.
    """

    subject: str = ""
    sender: str = ""
    date: str = ""
    message_id: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """One change: `name` is the file it came from, `subject` its title ('' for a plain diff), `posted` the mail that it came in, if any."""

    name: str
    subject: str
    files: tuple[FileChange, ...]
    posted: Posted | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A message of a change that cannot be read, and why."""

    name: str
    subject: str
    why: str


def parse_change(text: str | bytes, name: str) -> tuple[Patch, ...]:
    """Read a change of which every patch must be readable.

    Args:
        text: the content; bytes if its encoding is only known from its mail headers.
        name: the file's name, for messages.

    Raises:
        InputError: there is no diff in it, or one that cannot be used (malformed, or not in the encoding that it names).
    """
    found = parse_series(text, name)
    for patch in found:
        if isinstance(patch, Unread):
            raise InputError(patch.why)
    return tuple(patch for patch in found if isinstance(patch, Patch))


def parse_series(text: str | bytes, name: str) -> tuple[Patch | Unread, ...]:
    """Read a change patch by patch: a plain diff, one `git format-patch` mail, or an mbox of several.

    Messages without a diff (a cover letter, a reply) are left out. If the subjects are numbered `[PATCH 2/5]`, the patches come
    in that order, else in the order of the file.

    Args:
        text: the content; bytes if its encoding is only known from its mail headers.
        name: the file's name, for messages.

    Raises:
        InputError: there is no diff in any of it.
    """
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if not data.strip():
        raise InputError(f"{name}: the file is empty; expected {_EXPECTED}")
    if b"\0" in data:
        raise InputError(f"{name}: this is a binary file (it has a NUL byte); expected {_EXPECTED}")
    patches = [patch for mail in _mails(data) if (patch := _patch(mail, name)) is not None]
    if not patches:
        raise InputError(f"{name}: there is no diff in this file; expected {_EXPECTED}")
    return tuple(_in_order(patches))


def unified(patch: Patch) -> str:
    """The patch as a unified diff of its text files alone, without what a mail says around it."""
    lines: list[str] = []
    for file in patch.files:
        lines += [f"--- {file.old or _NOWHERE}\n", f"+++ {file.new or _NOWHERE}\n"] if file.hunks else []
        for hunk in file.hunks:
            lines.append(f"@@ -{hunk.old_start},{len(hunk.old)} +{hunk.new_start},{len(hunk.new)} @@\n")
            for line in hunk.lines:
                lines.append(line.kind + line.text + ("" if line.text.endswith("\n") else "\n\\ No newline at end of file\n"))
    return "".join(lines)


def _patch(mail: _Raw, name: str) -> Patch | Unread | None:
    """The patch in a message, or why there is none that can be read; None if it is no patch at all."""
    subject = ""
    try:
        read = _mail(mail, name)
        subject = read.subject
        files = _files(read, name)
    except InputError as error:
        return Unread(name, subject or _subject(_headers(mail)), str(error))
    return Patch(name, subject, files, read.posted) if files else None


@dataclass(frozen=True, slots=True)
class _Raw:
    """The bytes of one message; `before` lines of the file come before it."""

    data: bytes
    before: int


@dataclass(frozen=True, slots=True)
class _Mail:
    """The text of one message that may hold a diff; `before` lines of the file come before it."""

    subject: str
    text: str
    before: int
    posted: Posted | None = None


def _mails(data: bytes) -> Iterator[_Raw]:
    # Latin-1 keeps each byte one character, so that a position in the string is a position in the file.
    text = data.decode("latin-1")
    starts = [match.start() for match in _FROM_LINE.finditer(text) if _starts_message(text, match)]
    if not starts or text[: starts[0]].strip():
        starts.insert(0, 0)
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield _Raw(data[start:end], data.count(b"\n", 0, start))


def _starts_message(text: str, match: re.Match[str]) -> bool:
    """Say whether a `From ` line opens a message rather than a sentence: headers follow it."""
    end = text.find("\n", match.end())
    return end >= 0 and _HEADER.match(text, end + 1) is not None


def _mail(raw: _Raw, name: str) -> _Mail:
    data, before = raw.data, raw.before
    opened = data.startswith(b"From ")
    if data.partition(b"\n")[0].endswith(b"\r") and (opened or _is_mail(data.replace(b"\r\n", b"\n"))):
        # The mail travelled with CR LF; git takes these off, too. A CR inside an encoded body is left alone.
        data = data.replace(b"\r\n", b"\n")
    if not opened and not _is_mail(data):
        return _Mail("", _decode(data, "utf-8", name), before)
    content = data.partition(b"\n")[2] if opened else data
    try:
        message = message_from_bytes(content, policy=compat32)
        subject = _subject(message)
        if message.is_multipart() or _encoding(message) not in ("", "7bit", "8bit", "binary"):
            return _Mail(subject, "\n".join(_bodies(message, name)), 0, _posted(message, raw))
    except RecursionError:
        raise InputError(f"{name}: the parts of the mail nest too deep; save the patch alone, as `git format-patch` writes it") from None
    head, gap, body = content.partition(b"\n\n")
    first = before + opened + head.count(b"\n") + gap.count(b"\n")
    return _Mail(subject, _decode(body, _charset(message), name), first, _posted(message, raw))


def _headers(raw: _Raw) -> Message:
    data = raw.data.partition(b"\n")[2] if raw.data.startswith(b"From ") else raw.data
    return BytesHeaderParser(policy=compat32).parsebytes(data)


def _header(message: Message, wanted: str) -> str:
    """A header on one line, decoded."""
    raw = next((str(value) for name, value in message.raw_items() if name.lower() == wanted), "")
    # Bytes that are not ASCII are there as surrogates; what writes them writes UTF-8.
    return _words(raw[:_MOST_TITLE].encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _posted(message: Message, raw: _Raw) -> Posted:
    identity = _ID.search(_header(message, "message-id"))
    commit = _COMMIT.match(raw.data)
    return Posted(
        _header(message, "subject"),
        _header(message, "from"),
        _header(message, "date"),
        identity.group() if identity else "",
        commit.group(1).decode() if commit else "",
    )


def _subject(message: Message) -> str:
    """The title with its number in the series, if it has one, and without the other tags."""
    written = _header(message, "subject")
    number = _NUMBER.search(written)
    subject = _TAG.sub("", written)
    return f"[{number.group(1)}/{number.group(2)}] {subject}" if number else subject


def _words(header: str) -> str:
    """A header's text with encoded words decoded, those that cannot be left as they stand."""
    try:
        pieces = [part if isinstance(part, str) else _plain(part, charset) for part, charset in decode_header(header)]
    except (HeaderParseError, ValueError):  # base64 that is none
        pieces = [header]
    return " ".join("".join(pieces).encode("utf-8", "replace").decode().split())


def _plain(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(_known(charset or "utf-8"), "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _is_mail(data: bytes) -> bool:
    """Say whether mail headers come first: not the notes above a plain diff, which the diff may follow without an empty line."""
    head = data.partition(b"\n\n")[0].decode("latin-1")
    names = {line.partition(":")[0] for line in head.split("\n") if _HEADER.match(line)}
    return _HEADER.match(head) is not None and bool(names & {"From", "Subject"}) and _diff_start(split_lines(head)) is None


def _encoding(message: Message) -> str:
    return str(message.get("Content-Transfer-Encoding", "")).strip().lower()


def _bodies(message: Message, name: str) -> Iterator[str]:
    for part in message.walk():
        if part.get_content_maintype() == "text" and part.get_content_subtype() != "html":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield _decode(payload, _charset(part), name)


def _charset(message: Message) -> str:
    try:
        return message.get_content_charset("utf-8")
    except (LookupError, ValueError):  # an RFC 2231 parameter in an encoding of its own that nobody knows
        return "unreadable"


def _known(charset: str) -> str:
    """The name of a character set that mail is written in.

    Raises:
        LookupError: it is none; Python has codecs that are not for text, or for a single name (`punycode`), and these are none either.
    """
    found = codecs.lookup(charset).name.replace("_", "-")
    if found in _NO_CHARSETS:
        raise LookupError(found)
    return found


def _decode(data: bytes, charset: str, name: str) -> str:
    try:
        text = data.decode(_known(charset))
    except (LookupError, ValueError) as error:
        if not isinstance(error, UnicodeDecodeError):
            raise InputError(f"{name}: the mail is written in an unknown character set, {charset!r}; save it as UTF-8") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}: line {line} of the text is not {charset}; save the file as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{name}: the text of the mail has a NUL character; expected {_EXPECTED}")
    return text


def _in_order(patches: list[Patch | Unread]) -> list[Patch | Unread]:
    """Sort a series by its numbers if every patch has one and none appears twice."""
    numbers = [_NUMBER.match(patch.subject) for patch in patches]
    places = [int(number.group(1)) for number in numbers if number]
    if len(set(places)) != len(patches):
        return patches
    return [patch for _, patch in sorted(zip(places, patches, strict=True), key=lambda pair: pair[0])]


def _files(mail: _Mail, name: str) -> tuple[FileChange, ...]:
    """Read the diff in a mail; empty if there is none."""
    lines = split_lines(mail.text)
    begin = _diff_start(lines)
    if begin is None:
        return ()
    lines = lines[begin:]
    if not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    before = mail.before + begin
    try:
        parsed = PatchSet(lines)
    except (UnidiffParseError, ValueError) as error:  # a number of thousands of digits is a ValueError
        at = _malformed(lines)
        place = f" at line {before + at + 1}: `{shorten(lines[at])}`" if at is not None else f" (its diff begins at line {before + 1})"
        raise InputError(f"{name}: the diff is malformed{place} ({error}); make it again with git, it may have been edited") from None
    _check_complete(lines, parsed, before, name)
    return tuple(_file(file, lines, before, name) for file in parsed)


def split_lines(text: str) -> list[str]:
    """Split at newlines only: C files contain form feeds, which `splitlines` takes for line ends."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _diff_start(lines: Sequence[str]) -> int | None:
    for index, line in enumerate(lines):
        if line.startswith("diff --git ") or _heads_file(lines, index):
            return index
        if line.startswith(("Binary files ", "Only in ")) and line.rstrip().endswith("differ"):
            return index
    return None


def _heads_file(lines: Sequence[str], index: int) -> bool:
    return lines[index].startswith("--- ") and index + 1 < len(lines) and lines[index + 1].startswith("+++ ")


def _malformed(lines: Sequence[str]) -> int | None:
    """Find the first hunk whose header does not say what follows it; unidiff does not tell which it stumbled on."""
    for index, line in enumerate(lines):
        if not line.startswith("@@"):
            continue
        counts = re.match(r"@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@", line)
        if counts is None:
            return index
        old, new = (int(count) if count is not None else 1 for count in counts.groups())
        for following in lines[index + 1 :]:
            if old <= 0 and new <= 0:
                break
            old -= following[0] in " -\n"
            new -= following[0] in " +\n"
            if following[0] not in " -+\n\\":
                return index
        if old or new:
            return index
    return None


def _check_complete(lines: Sequence[str], parsed: PatchSet, before: int, name: str) -> None:
    """Refuse a diff of which unidiff silently left something out: a bad hunk header, or more lines than the header says."""
    read = {line.diff_line_no for file in parsed for hunk in file for line in hunk}
    seen_file = False
    for index, line in enumerate(lines):
        if index + 1 in read:
            continue
        if _heads_file(lines, index) or line.startswith("+++ "):
            seen_file = True
        elif line.startswith("@@") and not _HUNK.match(line):
            what = f"this hunk header is malformed: `{shorten(line)}`; expected `@@ -line,count +line,count @@`"
            raise InputError(f"{name}:{before + index + 1}: {what}")
        elif line.startswith("diff "):
            seen_file = False
        elif line.startswith("-- \n") or line == "--\n":
            return
        elif seen_file and line[0] in "+- " and line.strip():
            what = f"this line belongs to no hunk: `{shorten(line)}`; the hunk above it has more lines than its header says"
            raise InputError(f"{name}:{before + index + 1}: {what}; make the diff again with git, it may have been edited")


def _file(file: PatchedFile, lines: Sequence[str], before: int, name: str) -> FileChange:
    at = before + (file.diff_line_no or 1)
    info = [line.rstrip("\n") for line in file.patch_info or ()]
    old, new = _path(file.source_file), _path(file.target_file)
    odd = _odd(file, info)
    headers = _hunk_headers(lines, file)
    hunks = tuple(_hunk(hunk, before + header) for hunk, header in zip(file, headers, strict=True))
    created = len(file) == 1 and file[0].source_start == 0 and file[0].source_length == 0
    where = f"{name}:{at}: {PREFIX.sub('', new or old or '?')}"
    return FileChange(None if created else old, new, hunks, at, f"{where} {odd}" if odd else "")


def _odd(file: PatchedFile, info: Sequence[str]) -> str:
    """What about a change of a file cannot be applied, and what to do; empty if nothing."""
    if any(line.startswith(("rename ", "copy ")) for line in info):
        return "is renamed or copied; give the change as an edit of the file under its present name"
    if file.is_binary_file or any("Binary files" in line or "GIT binary patch" in line for line in info):
        return "is a binary file; leave it out of the change"
    if file.is_symlink or file.is_submodule:
        return "is a symbolic link or a submodule; leave it out of the change"
    if not file and any(line.startswith(("old mode", "new mode ")) for line in info):
        return "changes only its mode; leave it out of the change, a mode means nothing to the model"
    return "" if file else f"has no hunks; expected {_EXPECTED}"


def _path(written: str) -> str | None:
    path = written.strip()
    if path == _NOWHERE:
        return None
    return _unquoted(path) if path.startswith('"') else path


def _unquoted(path: str) -> str:
    """A path as git quotes it (core.quotePath): C's escapes, of the bytes of its UTF-8."""

    def meant(match: re.Match[str]) -> bytes:
        code = match.group(1)
        return bytes([int(code, 8) & 255 if len(code) == 3 else _ESCAPED.get(code, ord(code) & 255)])

    found, at = b"", 0
    inner = path.removeprefix('"').removesuffix('"')
    for match in _ESCAPE.finditer(inner):
        found += inner[at : match.start()].encode() + meant(match)
        at = match.end()
    return (found + inner[at:].encode()).decode("utf-8", "replace")


def _hunk_headers(lines: Sequence[str], file: PatchedFile) -> Iterator[int]:
    """Return the line (from 1) of each hunk's `@@`: the nearest one above the hunk's first line."""
    for hunk in file:
        first = next((line.diff_line_no for line in hunk if line.diff_line_no), 1)
        yield next((at for at in range(first - 1, 0, -1) if lines[at - 1].startswith("@@")), first)


def _hunk(hunk: UnidiffHunk, at: int) -> Hunk:
    found: list[HunkLine] = []
    for index, line in enumerate(hunk, 1):
        number = line.diff_line_no - hunk[0].diff_line_no + at + 1 if line.diff_line_no and hunk[0].diff_line_no else at + index
        if line.is_added:
            found.append(HunkLine("+", line.value, number))
        elif line.is_removed:
            found.append(HunkLine("-", line.value, number))
        elif line.is_context:
            found.append(HunkLine(" ", line.value, number))
        elif line.line_type == "\\" and found:
            # "\ No newline at end of file" speaks of the line before it.
            found[-1] = HunkLine(found[-1].kind, found[-1].text.removesuffix("\n"), found[-1].at)
    return Hunk(at, hunk.source_start, hunk.target_start, tuple(found))
