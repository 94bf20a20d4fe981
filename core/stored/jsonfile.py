"""Documents that are kept as JSON, and the one way in which they are read back."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from typing import Generic, TypeVar

import msgspec

from ..errors import InputError
from .files import MEGABYTE, read_given

T = TypeVar("T", bound=msgspec.Struct)
MOST = 256 * MEGABYTE
"""Bytes of a document."""


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of document.

    Args:
        name: what it is called in a sentence, without an article.
        type: what it holds; the number of its schema stands in its field `schema`.
        schema: the number that is read.
        mark: a field that a document of no other kind has.
        give: what a reader should give instead of something else.
        again: how he gets one that is whole.
    """

    name: str
    type: type[T]
    schema: int
    mark: str
    give: str
    again: str

    def read(self, path: str | PathLike[str]) -> T:
        """The document in a file.

        Raises:
            InputError: there is no such file, or no such document in it.
        """
        return self.decoded(self.content(path), fspath(path))

    def content(self, path: str | PathLike[str]) -> bytes:
        """What stands in a file, unread.

        Raises:
            InputError: it cannot be read.
        """
        return read_given(fspath(path), MOST, self.give)

    def decoded(self, data: bytes, where: str) -> T:
        """The document that these bytes are.

        Args:
            where: what an error names.

        Raises:
            InputError: they are none: empty, no JSON, another kind, another schema, or not complete.
        """
        if not data.strip():
            raise InputError(f"{where}: the file is empty; {self.give}, or {self.again}")
        try:
            raw = msgspec.json.decode(data)
        except RecursionError:
            raise InputError(f"{where}: arrays or objects nest too deep for a {self.name}; {self.give}, or {self.again}") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise InputError(f"{where}: not a JSON document: {error}; {self.give}, or {self.again}") from error
        schema = raw.get("schema") if isinstance(raw, dict) else None
        if not isinstance(schema, int) or isinstance(schema, bool) or self.mark not in raw:
            raise InputError(f"{where}: JSON, but not a {self.name}; {self.give}")
        if schema != self.schema:
            what = "a newer" if schema > self.schema else "another"
            read = f"this tdpcheck reads schema {self.schema}"
            raise InputError(f"{where}: {what} form of {self.name} (schema {schema}); {read}. Use the version that wrote it")
        try:
            return msgspec.convert(raw, self.type, strict=True)
        except (msgspec.ValidationError, RecursionError) as error:
            raise InputError(f"{where}: not a complete {self.name}: {error}; {self.again}") from error
