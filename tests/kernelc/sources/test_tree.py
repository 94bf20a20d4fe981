"""A kernel tree read from a directory, from git, and from a tarball."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.core.stored.private import user_folder
from tdpcheck.kernelc.sources.tree import KernelTree, debian_sources, open_tree

MAKEFILE = "# SPDX\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 7\nEXTRAVERSION =\nall:\n\t@echo $(VERSION)\n"
SOURCE = "arch/x86/kvm/mmu/x.c"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Make a small kernel tree of our own."""
    top = tmp_path / "linux-6.1.7"
    (top / "arch/x86/kvm/mmu").mkdir(parents=True)
    (top / "lib").mkdir()
    (top / "Makefile").write_text(MAKEFILE)
    (top / SOURCE).write_bytes("int x; /* é */\r\n\x0c".encode())
    (top / "lib/far.c").write_text("int far;\n")
    return top


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the user's own cache out of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tdpcheck" / "trees"


@pytest.fixture
def tarball(directory: Path, cache: Path) -> Path:
    """Pack the small tree as Debian does."""
    path = directory.parent / "linux-source-6.1.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        archive.add(directory, "linux-source-6.1")
    return path


@pytest.fixture
def repository(directory: Path) -> Path:
    """Make the small tree a git repository with two versions."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(directory)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    (directory / "Makefile").write_text(MAKEFILE.replace("PATCHLEVEL = 1", "PATCHLEVEL = 2"))
    (directory / "lib/far.c").write_text("int second;\n")
    subprocess.run([*git, "commit", "-q", "-a", "-m", "two"], check=True, capture_output=True)
    return directory


def test_a_directory_is_read_byte_for_byte(directory: Path) -> None:
    """A patch must find the file as it is, line ends and form feeds included."""
    tree = open_tree(directory)

    assert tree.version == "6.1.7"
    assert tree.origin == str(directory)
    assert tree.read(SOURCE) == "int x; /* é */\r\n\x0c"


def test_a_revision_is_read_from_git_and_the_work_tree_without_one(repository: Path) -> None:
    """The user may have uncommitted work, or ask about a tag."""
    (repository / "lib/far.c").write_text("int third;\n")

    assert open_tree(repository).read("lib/far.c") == "int third;\n"
    assert open_tree(repository, "HEAD").read("lib/far.c") == "int second;\n"
    assert open_tree(repository, "v1").read("lib/far.c") == "int far;\n"
    assert open_tree(repository, "v1").version == "6.1.7"
    assert open_tree(repository, "v1").read(SOURCE) == "int x; /* é */\r\n\x0c"
    assert open_tree(repository, "v1").origin.startswith(f"{repository} at v1 (")


def test_a_bare_repository_is_read_at_head(repository: Path) -> None:
    """Mirrors are bare."""
    bare = repository.parent / "linux.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(repository), str(bare)], check=True, capture_output=True)

    assert open_tree(bare).version == "6.2.7"
    assert open_tree(bare, "v1").version == "6.1.7"


def test_a_tree_below_the_top_of_a_repository_is_read_there(repository: Path) -> None:
    """Some keep the kernel in a folder of something bigger."""
    outer = repository.parent / "outer"
    (outer / "kernel").mkdir(parents=True)
    (outer / "kernel/Makefile").write_text(MAKEFILE)
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(outer)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True, capture_output=True)

    assert open_tree(outer / "kernel", "HEAD").version == "6.1.7"


def test_the_environment_of_a_git_hook_does_not_mislead(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a hook GIT_DIR names the repository of the hook."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")

    assert open_tree(repository, "v1").version == "6.1.7"


def test_a_tarball_is_unpacked_once_and_only_what_matters(tarball: Path, cache: Path) -> None:
    """Unpacking everything would take a minute and a gigabyte."""
    said: list[str] = []
    tree = open_tree(tarball, progress=said.append)

    assert tree.version == "6.1.7"
    assert tree.read(SOURCE) == "int x; /* é */\r\n\x0c"
    assert not list(cache.rglob("far.c"))
    assert len(said) == 1
    assert open_tree(tarball, progress=said.append).read(SOURCE)
    assert len(said) == 1
    assert tree.read("lib/far.c") == "int far;\n"
    assert len(said) == 2
    assert tree.read("lib/far.c") == "int far;\n"
    assert len(said) == 2
    assert [path.name for path in cache.iterdir()] == [f"{tarball.name}-{tarball.stat().st_size}-{tarball.stat().st_mtime_ns}"]


def test_a_file_that_the_tarball_lacks_is_known_without_unpacking(tarball: Path) -> None:
    """Another pass would take ten seconds to say no."""
    said: list[str] = []
    tree = open_tree(tarball, progress=said.append)

    with pytest.raises(InputError, match=r"has no file lib/none\.c"):
        tree.read("lib/none.c")
    assert len(said) == 1


def test_a_changed_tarball_is_unpacked_anew(tarball: Path, directory: Path) -> None:
    """A package upgrade replaces the file under the same name."""
    assert open_tree(tarball).version == "6.1.7"
    (directory / "Makefile").write_text(MAKEFILE.replace("= 7", "= 1234"))
    with tarfile.open(tarball, "w:xz") as archive:
        archive.add(directory, "linux-source-6.1")

    assert open_tree(tarball).version == "6.1.1234"


def read_version(path: str) -> str:
    """Open a tree in another process."""
    return open_tree(path).version


def test_two_runs_at_once_do_not_disturb_each_other(tarball: Path, cache: Path) -> None:
    """A test runner starts several checks at the same time."""
    with multiprocessing.get_context("fork").Pool(4) as pool:
        versions = pool.map(read_version, [str(tarball)] * 8, chunksize=1)

    assert ["6.1.7"] * 8 == versions
    assert len(list(cache.iterdir())) == 1


def test_an_interrupted_unpacking_leaves_nothing_that_counts(tarball: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run must not take half a tree for a whole one."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tdpcheck.kernelc.sources.tarball._content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_tree(tarball)

    assert list(cache.iterdir()) == []
    assert open_tree(tarball).version == "6.1.7"


def test_members_that_would_leave_the_cache_are_not_unpacked(directory: Path, cache: Path) -> None:
    """A tarball from the net may contain anything."""
    (directory / "evil").write_text("evil\n")
    path = directory.parent / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(directory / "Makefile", "top/Makefile")
        archive.add(directory / "evil", "top/arch/x86/kvm/../../../../../../evil")
        archive.add(directory / "evil", "/arch/x86/kvm/evil")
        link = tarfile.TarInfo("top/arch/x86/kvm/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    open_tree(path)

    assert ["Makefile", "members.txt"] == sorted(file.name for file in cache.rglob("*") if file.is_file() and "evil.tar" not in file.name)
    assert not (cache.parent / "evil").exists()


def test_a_path_outside_the_tree_is_refused(directory: Path) -> None:
    """A tree is read-only, and it ends somewhere."""
    tree = open_tree(directory)
    for path in ("../secret", "/etc/passwd", "lib/../../secret", ""):
        with pytest.raises(InputError, match="is not a path inside"):
            tree.read(path)


def test_what_is_no_kernel_tree_is_refused_with_the_reason(tmp_path: Path, cache: Path) -> None:
    """Each message names what was given and what is expected."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/Makefile").write_text("all:\n")
    (tmp_path / "text.tar.xz").write_text("this is no tarball")
    (tmp_path / "nothing.tar.xz").write_bytes(b"")
    cases: list[tuple[Callable[[], KernelTree], str]] = [
        (lambda: open_tree(tmp_path / "none"), "there is no such file or directory"),
        (lambda: open_tree(tmp_path / "empty"), "is not a kernel source tree: it has no Makefile"),
        (lambda: open_tree(tmp_path / "other"), "its Makefile names no VERSION"),
        (lambda: open_tree(tmp_path / "other", "v1"), "is not a git repository"),
        (lambda: open_tree(tmp_path / "text.tar.xz"), "cannot be unpacked"),
        (lambda: open_tree(tmp_path / "nothing.tar.xz"), "cannot be unpacked"),
        (lambda: open_tree(tmp_path / "text.tar.xz", "v1"), "a tarball has no revision"),
    ]
    for attempt, message in cases:
        with pytest.raises(InputError, match=message):
            attempt()


def test_a_damaged_tarball_is_refused(tarball: Path) -> None:
    """A download may have been cut short."""
    data = tarball.read_bytes()
    for broken in (data[: len(data) // 2], data[:100] + bytes(50) + data[150:]):
        tarball.write_bytes(broken)
        with pytest.raises(InputError, match="cannot be unpacked"):
            open_tree(tarball)


def test_an_unknown_revision_or_file_is_refused(repository: Path) -> None:
    """The message says which repository was asked."""
    with pytest.raises(InputError, match="has no revision 'v9'"):
        open_tree(repository, "v9")
    with pytest.raises(InputError, match="is not a git revision"):
        open_tree(repository, "--help")
    with pytest.raises(InputError, match=r"at v1 .* has no file lib/none\.c"):
        open_tree(repository, "v1").read("lib/none.c")
    with pytest.raises(InputError, match="has no file lib"):
        open_tree(repository, "v1").read("lib")


def test_a_file_that_cannot_be_read_is_refused(directory: Path) -> None:
    """A folder, a file that is not there, a file that is not text."""
    (directory / "lib/latin.c").write_bytes(b"int a;\n\xe9\n")
    tree = open_tree(directory)

    with pytest.raises(InputError, match="cannot be read"):
        tree.read("lib")
    with pytest.raises(InputError, match=r"has no file lib/none\.c"):
        tree.read("lib/none.c")
    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        tree.read("lib/latin.c")


def test_without_a_cache_a_tarball_is_unpacked_for_one_run(tarball: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, or a folder that somebody else can write to, is no reason to give no answer; nothing of it is believed."""
    open_folder = tmp_path / "open"
    (open_folder / "tdpcheck").mkdir(parents=True)
    (open_folder / "tdpcheck").chmod(0o777)
    (tmp_path / "file").write_text("")
    for where, why in ((tmp_path / "file", "cannot be made"), (open_folder, "others can write to")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(where))
        said: list[str] = []
        tree = open_tree(tarball, progress=said.append)

        assert tree.read(SOURCE) == "int x; /* é */\r\n\x0c"
        assert why in said[0]
        assert not [file for file in where.rglob("*") if file.is_file()]


def test_a_file_of_the_cache_that_was_edited_is_unpacked_again(tarball: Path, cache: Path) -> None:
    """What is told of a kernel must be of that kernel: a cache is no place to change it."""
    open_tree(tarball).read(SOURCE)
    (file,) = cache.rglob("x.c")
    known = file.read_bytes()
    for edited in (known.replace(b"int x", b"int y"), b"int y;\n", b"", next(cache.rglob("Makefile")).read_bytes()):
        file.write_bytes(edited)

        assert open_tree(tarball).read(SOURCE) == "int x; /* é */\r\n\x0c"


def test_a_relative_cache_path_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So the XDG rules say."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")

    assert tmp_path / ".cache" / "tdpcheck" == user_folder()


def test_debian_sources_are_found_newest_first(tmp_path: Path) -> None:
    """6.12 is newer than 6.1, whatever the alphabet says."""
    assert debian_sources(tmp_path / "none") == ()
    assert debian_sources(tmp_path) == ()
    for name in ("linux-source-6.1.tar.xz", "linux-source-6.12.tar.xz", "linux-source-6.2.tar.xz", "linux-source.tar.xz"):
        (tmp_path / name).write_text("")

    assert ["6.12", "6.2", "6.1"] == [path.name.removeprefix("linux-source-").removesuffix(".tar.xz") for path in debian_sources(tmp_path)]


def test_the_kernel_has_the_files_that_the_model_speaks_of(kernel_tree: Path) -> None:
    """Whatever form the tree has."""
    tree = open_tree(kernel_tree)

    assert int(tree.version.split(".")[0]) >= 5
    assert "tdp_iter_start" in tree.read("arch/x86/kvm/mmu/tdp_iter.h")
    assert "list_for_each_entry" in tree.read("include/linux/list.h")
