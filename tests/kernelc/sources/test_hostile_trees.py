"""Kernel trees from people who mean ill: nothing of a repository runs, and nothing in a tarball is larger than a kernel."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.kernelc.sources import tarball as tarballs
from tdpcheck.kernelc.sources.tree import open_tree

MAKEFILE = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 7\n"
FAR = "lib/far.c"


def git(folder: Path, *command: str) -> str:
    """Run git where it may run what it likes: the test made the folder."""
    who = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(folder)]
    return subprocess.run([*who, *command], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with three commits, a branch, and both kinds of tags."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    top = tmp_path / "linux"
    (top / "lib").mkdir(parents=True)
    (top / "Makefile").write_text(MAKEFILE)
    git(top, "init", "-q", "-b", "main")
    for number in (1, 2, 3):
        (top / FAR).write_text(f"int far{number};\n")
        git(top, "add", ".")
        git(top, "commit", "-q", "-m", f"number {number}")
    git(top, "tag", "-a", "-m", "said", "v6.1", "HEAD~1")
    git(top, "tag", "light", "HEAD~2")
    git(top, "branch", "feature/x", "HEAD~2")
    return top


def test_revisions_are_named_as_git_names_them(repository: Path) -> None:
    """Whoever typed it yesterday types it today."""
    short = git(repository, "rev-parse", "--short", "HEAD")
    expected = {
        "HEAD": 3, "main": 3, "@": 3, "refs/heads/main": 3, short: 3, git(repository, "rev-parse", "HEAD~1"): 2, "HEAD~2": 1,
        "HEAD^": 2, "v6.1": 2, "v6.1^{commit}": 2, "v6.1~1": 1, "tags/v6.1": 2, "light": 1, "feature/x": 1, "main@{1}": 2,
        f"v6.1-1-g{short}": 3, ":/number 2": 2,
    }  # fmt: skip

    for rev, number in expected.items():
        assert f"int far{number};\n" == open_tree(repository, rev).read(FAR), rev


def test_packed_shared_and_second_work_trees_are_read(repository: Path) -> None:
    """A kernel is always packed, and many keep one repository for several work trees."""
    git(repository, "worktree", "add", "-q", str(repository.parent / "second"), "feature/x")
    git(repository, "gc", "-q")
    git(repository.parent, "clone", "-q", "--shared", str(repository), "shared")

    assert "int far1;\n" == open_tree(repository.parent / "second", "HEAD").read(FAR)
    assert "int far2;\n" == open_tree(repository.parent / "shared", "v6.1").read(FAR)
    assert "int far3;\n" == open_tree(repository / ".git").read(FAR)


CONFIGURED = (
    "core.fsmonitor", "core.sshCommand", "core.gitProxy", "core.askPass", "core.editor", "core.pager", "core.hooksPath",
    "core.alternateRefsCommand", "uploadpack.packObjectsHook", "credential.helper", "diff.external", "diff.x.command",
    "diff.x.textconv", "filter.x.smudge", "filter.x.clean", "filter.x.process", "merge.x.driver", "gpg.program", "alias.cat-file",
    "alias.rev-parse", "pager.rev-parse", "pager.cat-file", "remote.origin.uploadpack", "remote.origin.vcs", "trailer.x.cmd",
)  # fmt: skip


def test_nothing_that_a_repository_configures_is_run(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these makes some git command run a program; reading a stranger's repository is no consent."""
    mark = repository.parent / "ran"
    program = repository.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    program.chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=x diff=x merge=x\n")
    git(repository, "add", ".gitattributes")
    git(repository, "commit", "-q", "-m", "attributes")
    missing = git(repository, "rev-parse", "light:lib/far.c")
    (repository / ".git/objects" / missing[:2] / missing[2:]).unlink()
    more = repository.parent / "more"
    more.write_text(f"[core]\n\tpager = {program}\n[alias]\n\tshow = !{program}\n")
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change"):
        shutil.copy(program, repository / ".git/hooks" / hook)
    for key in CONFIGURED:
        git(repository, "config", key, str(program))
    for key, value in {
        "extensions.partialClone": "origin", "core.repositoryformatversion": "1", "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{program}", "protocol.ext.allow": "always", "include.path": str(more),
        "core.worktree": str(repository.parent), "core.bare": "true", "url.ext::x.insteadOf": "https://",
    }.items():  # fmt: skip
        git(repository, "--git-dir", str(repository / ".git"), "config", key, value)
    monkeypatch.setenv("PATH", str(repository.parent))
    shutil.copy(program, repository.parent / "git")
    mark.unlink(missing_ok=True)

    assert "int far3;\n" == open_tree(repository, "HEAD").read(FAR)
    with pytest.raises(InputError, match="Nothing is fetched for you"):
        open_tree(repository, "light").read(FAR)
    with pytest.raises(InputError, match="has no revision"):
        open_tree(repository, "origin/main")
    assert not mark.exists()


def test_no_variable_of_gits_leads_elsewhere(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a hook, or by intent, they name other repositories, objects and settings."""
    other = tmp_path / "other"
    shutil.copytree(repository, other)
    (other / "Makefile").write_text("VERSION = 9\nPATCHLEVEL = 9\n")
    git(other, "commit", "-q", "-a", "-m", "another")
    for name, value in {
        "GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_COMMON_DIR": str(other / ".git"), "GIT_NAMESPACE": "x",
        "GIT_OBJECT_DIRECTORY": str(other / ".git/objects"), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(other / ".git/objects"),
        "GIT_CEILING_DIRECTORIES": str(tmp_path), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.worktree",
        "GIT_CONFIG_VALUE_0": str(other), "GIT_CONFIG_GLOBAL": "/nowhere", "GIT_REPLACE_REF_BASE": "refs/heads",
        "GIT_EXTERNAL_DIFF": "false", "GIT_SSH_COMMAND": "false", "GIT_TRACE": "/nowhere", "GIT_INDEX_FILE": "/nowhere",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    assert "6.1.7" == open_tree(repository, "main").version
    with pytest.raises(InputError, match="has no revision"):
        open_tree(repository, git_head(other))


def git_head(folder: Path) -> str:
    return (folder / ".git/refs/heads/main").read_text().strip()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """Nobody writes to the pipe, and a device never ends."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    os.mkfifo(tmp_path / "pipe.c")
    (tmp_path / "zero.c").symlink_to("/dev/zero")
    (tmp_path / "folder.c").mkdir()
    (tmp_path / "loop.c").symlink_to("loop.c")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket.c"))
    with (tmp_path / "huge.c").open("wb") as file:
        file.truncate(1 << 40)
    tree = open_tree(tmp_path)

    for name in ("pipe.c", "zero.c", "folder.c", "loop.c", "socket.c", "huge.c"):
        with pytest.raises(InputError):
            tree.read(name)
    os.mkfifo(tmp_path / "linux.tar.xz")
    with pytest.raises(InputError, match="neither a directory nor a regular file"):
        open_tree(tmp_path / "linux.tar.xz")
    with pytest.raises(InputError, match="neither a directory nor a regular file"):
        open_tree("/dev/zero")


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def member(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header alone: what follows it is as long as the test likes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
@pytest.mark.parametrize(
    "start",
    [
        member("top/arch/x86/kvm/mmu.c", 3 << 30),
        member("top/vast", 3 << 30),
        member("././@PaxHeader", 3 << 30, tarfile.XHDTYPE),
        member("././@LongLink", 3 << 30, tarfile.GNUTYPE_LONGNAME),
        member("top/Makefile", 100 << 20),
    ],
    ids=["source", "other", "pax", "longname", "makefile"],
)
def test_a_tarball_that_unpacks_to_more_than_a_kernel_is_refused_at_once(
    start: bytes, compress: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a megabyte may stand for gigabytes: the size that a header tells is looked at before anything is read."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "linux.tar"
    assert callable(compress)
    path.write_bytes(compress(start + bytes(4 << 20)))
    begun = time.monotonic()

    with pytest.raises(InputError, match=r"is no tarball of a kernel: .* bytes; a kernel has no file of more than"):
        open_tree(path)
    assert time.monotonic() - begun < 5


def test_many_files_are_too_much_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them small, and all of them together a disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tarballs, "MOST_MEMBERS", 1_000)
    path = tmp_path / "linux.tar.gz"
    path.write_bytes(gzip.compress(b"".join(member(f"top/f{n}", 0) for n in range(1_100))))

    with pytest.raises(InputError, match="it unpacks to more than"):
        open_tree(path)
