"""A git repository that is only read: its objects and the names of its revisions, by a library that runs nothing.

The git command does what the configuration of a repository says: it fetches objects that are missing, runs filters, monitors and
pagers, and follows a dozen variables of the environment. Whoever asks about a repository has not agreed to any of this.
"""

from __future__ import annotations

from email.header import Header
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import ObjectType, RepositoryOpenFlag, SortMode

from ...core.errors import InputError
from ...core.stored.files import MOST, amount

MOST_COMMITS = 200
"""So many are read of a range: a series has some dozens."""
_EXTENSIONS = ["noop", "objectformat", "worktreeconfig", "preciousobjects", "partialclone", "relativeworktrees"]
"""What a repository may say of itself; none of these changes how an object that is there is read."""


class Repository:
    """A repository at one commit.

    Args:
        path: in its work tree, or the repository itself.
        rev: as git names revisions: a branch, a tag, a hash or the beginning of one, `HEAD~2`.

    Raises:
        InputError: there is no repository, no such revision, or something that is needed of it is missing.
    """

    def __init__(self, path: Path, rev: str) -> None:
        if rev.startswith("-"):
            raise InputError(f"{rev!r} is not a git revision; give a branch, a tag or a commit")
        top, below = _found(path)
        self._prefix = below
        self._objects = _opened(path, top)
        self._path, self._rev = path, rev
        self._commit = self._resolved(path, rev)
        self.origin = f"{path} at {rev}" + ("" if self.commit.startswith(rev) else f" ({self.commit[:12]})")

    @property
    def commit(self) -> str:
        return str(self._commit.id)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            InputError: there is none, it is too large, or it is not in the repository (which may be a partial clone).
        """
        missing = f"{self.origin} has no file {name}"
        try:
            entry: Any = self._commit.tree
            for part in (*self._prefix, *name.split("/")):
                if entry.type != ObjectType.TREE:
                    raise InputError(missing)
                entry = entry[part]
            kind, size = self._objects.odb.read_header(entry.id)
            if kind != ObjectType.BLOB:
                raise InputError(missing)
            if size > MOST["source"]:
                raise InputError(f"{name} in {self.origin} has more than {amount(MOST['source'])}, which no source file has")
            content: bytes = self._objects[entry.id].data
        except KeyError as error:
            if _is_hash(str(error).strip("'")):
                raise InputError(f"{missing}: its object {error} is not in the repository. {_ADVICE}") from None
            raise InputError(missing) from None
        except (pygit2.GitError, ValueError, OSError) as error:
            raise InputError(f"{missing}; it cannot be read: {error}. {_ADVICE}") from None
        return content

    def since(self, rev: str) -> bytes:
        """What was committed after `rev` and up to this commit, as an mbox: a mail a commit, along first parents.

        A merge is one mail with all that it brought. Nothing of the repository's configuration counts, and nothing is fetched.

        Raises:
            InputError: there is no such revision, nothing lies between, too much does, or an object is not in the repository.
        """
        start = self._resolved(self._path, rev)
        where = f"{self._path}: {rev}..{self._rev}"
        try:
            walk = self._objects.walk(self._commit.id, SortMode.TOPOLOGICAL | SortMode.REVERSE)
            walk.simplify_first_parent()
            walk.hide(start.id)
            commits = list(islice(walk, MOST_COMMITS + 1))
            if not commits:
                raise InputError(f"{where} has no commits; a range is given as OLDER..NEWER")
            if len(commits) > MOST_COMMITS:
                raise InputError(f"{where} has more than {MOST_COMMITS} commits; ask a shorter range, or the patches that matter")
            mails = [self._mail(commit, number, len(commits)) for number, commit in enumerate(commits, 1)]
        except (pygit2.GitError, KeyError, ValueError, OSError) as error:
            raise InputError(f"{where} cannot be read: {error}. {_ADVICE}") from None
        whole = b"".join(mails)
        if len(whole) > MOST["change"]:
            raise InputError(f"{where} has more than {amount(MOST['change'])} of changes; ask a shorter range, or the patches that matter")
        return whole

    def _mail(self, commit: Any, number: int, count: int) -> bytes:
        parents = commit.parents
        text = (self._objects.diff(parents[0].tree, commit.tree).patch or "") if parents else ""
        title = (commit.message.strip().splitlines() or [""])[0]
        subject = Header(f"[PATCH {number}/{count}] {title}", "utf-8", maxlinelen=10_000).encode()
        return f"From {commit.id} Mon Sep 17 00:00:00 2001\nSubject: {subject}\n\n---\n{text}\n".encode("utf-8", "surrogateescape")

    def _resolved(self, path: Path, rev: str) -> Any:
        wrong = f"{path} has no revision {rev!r}"
        try:
            commit = self._objects.revparse_single(rev).peel(pygit2.Commit)
            _ = commit.tree.id
        except KeyError as error:
            raise InputError(f"{wrong} ({error}); give a branch, a tag or a commit") from None
        except (pygit2.GitError, ValueError, OSError, TypeError) as error:
            raise InputError(f"{wrong}: {error}; give a branch, a tag or a commit") from None
        return commit


_ADVICE = "Nothing is fetched for you: make the repository whole with git, or give a directory"


def _found(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The repository that a folder belongs to, and where in its tree the folder is."""
    start = path.resolve()
    if (start / "HEAD").is_file() and (start / "objects").is_dir() and not (start / ".git").exists():
        return start, ()  # a bare one, or the inside of one
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder / ".git", start.relative_to(folder).parts
    raise InputError(f"{path} is not a git repository; give one, or leave the revision out")


def _opened(path: Path, repository: Path) -> Any:
    _settle()
    try:
        # "Bare": its configuration says nothing about where the work tree is, and no variable of the environment counts.
        return pygit2.Repository(str(_linked(repository)), RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE)
    except (pygit2.GitError, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path} is not a git repository that can be read: {error}; give another one, or a directory") from None


def _linked(repository: Path) -> Path:
    """The repository itself: `.git` of a second work tree, or of a submodule, is a file that names it."""
    if not repository.is_file():
        return repository
    said = repository.read_bytes()[:4096].decode("utf-8", "surrogateescape").strip()
    return (repository.parent / said.removeprefix("gitdir:").strip()).resolve()


@cache
def _settle() -> None:
    """No file of anybody's is read for configuration but the repository's own; that it belongs to somebody else is no danger."""
    from pygit2.enums import ConfigLevel

    for level in (ConfigLevel.SYSTEM, ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.PROGRAMDATA):
        pygit2.settings.search_path[level] = ""
    pygit2.settings.owner_validation = False
    pygit2.settings.set_extensions(_EXTENSIONS)


def _is_hash(text: str) -> bool:
    return len(text) in (40, 64) and set(text) <= set("0123456789abcdef")
