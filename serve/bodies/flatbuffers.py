"""Read an untrusted FlatBuffer: every position is checked before it is read.

This is the part of the format that Arrow's metadata needs: tables, vectors, texts and plain numbers, all
little-endian (https://flatbuffers.dev/internals/).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator


class MalformedError(ValueError):
    """A position is outside of the buffer."""


class Table:
    """One table of a buffer; a field is identified by its number in the schema."""

    def __init__(self, buffer: memoryview, place: int) -> None:
        self._buffer, self._place = buffer, place
        self._fields = place - self._number("i", place)
        self._size = self._number("H", self._fields)

    @classmethod
    def root(cls, buffer: memoryview) -> Table:
        """Return the root table of the buffer.

        Raises:
            MalformedError: a position is outside of the buffer; all methods raise it.
        """
        return cls(buffer, cls._read("I", buffer, 0))

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """Read a number of ``struct``'s format ``kind``."""
        place = self._where(field)
        return self._number(kind, place) if place else default

    def table(self, field: int) -> Table | None:
        """Return a table within this one; None if the field is absent."""
        place = self._where(field)
        return Table(self._buffer, place + self._number("I", place)) if place else None

    def length(self, field: int) -> int:
        """Read the declared number of a vector's entries or a text's bytes; 0 if the field is absent."""
        place = self._where(field)
        return self._number("I", place + self._number("I", place)) if place else 0

    def tables(self, field: int) -> Iterator[Table]:
        """Yield the tables of a vector."""
        for place in self._entries(field, 4):
            yield Table(self._buffer, place + self._number("I", place))

    def structs(self, field: int, kind: str) -> Iterator[tuple[int, ...]]:
        """Yield the structs of a vector, each of ``struct``'s format ``kind``."""
        for place in self._entries(field, struct.calcsize("<" + kind)):
            yield struct.unpack_from("<" + kind, self._buffer, place)

    def _entries(self, field: int, size: int) -> range:
        """Return the positions of a vector's entries, all within the buffer."""
        place = self._where(field)
        if not place:
            return range(0)
        first = place + self._number("I", place) + 4
        end = first + size * self.length(field)
        if end > len(self._buffer):
            raise MalformedError
        return range(first, end, size)

    def _where(self, field: int) -> int:
        """Return the position of a field; 0 if it is absent."""
        slot = 4 + 2 * field
        if slot + 2 > self._size:
            return 0
        offset = self._number("H", self._fields + slot)
        return self._place + offset if offset else 0

    def _number(self, kind: str, place: int) -> int:
        return self._read(kind, self._buffer, place)

    @staticmethod
    def _read(kind: str, buffer: memoryview, place: int) -> int:
        if not 0 <= place <= len(buffer) - struct.calcsize("<" + kind):
            raise MalformedError
        number: int = struct.unpack_from("<" + kind, buffer, place)[0]
        return number
