"""Read a large JSON object piece by piece.

To read it at once would block the interpreter, so that nobody else is answered meanwhile, and an error
would be noticed only when all of it is in memory, at many times its size. This reader returns the
entries of a list a few at a time, and the caller may stop.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

from serve.errors import RequestError

WINDOW = 2**17  # bytes per decoding step
TOGETHER = 2**15  # characters of entries per parsing step
SPACE = re.compile(r"[ \t\n\r]*")


class JsonReader:
    """A reader of a JSON object's members, in their order.

    ``members`` and ``entries`` share one position in the text: read the entries of a list before the
    next member. Except for such a list, a value may have at most ``largest`` characters.

    Raises:
        RequestError: the text is no JSON object, or a value in it is too large.
    """

    def __init__(self, body: bytes | bytearray, largest: int) -> None:
        self._body, self._taken, self._largest = memoryview(body), 0, largest
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text, self._at = "", 0
        self._together = TOGETHER
        self._scan = json.JSONDecoder().raw_decode

    def members(self) -> Iterator[str]:
        """Yield the names of the members; read the value of each before the next name."""
        if self._next() != "{":
            raise RequestError("body: must be a JSON object")
        self._at += 1
        if self._next() == "}":
            self._at += 1
        else:
            while True:
                name = self.value()
                if not isinstance(name, str) or self._next() != ":":
                    raise _no_json()
                self._at += 1
                yield name
                if self._goes_on("}"):
                    break
        if self._next():
            raise _no_json()

    def is_list(self) -> bool:
        """Whether the next value is a list."""
        return self._next() == "["

    def entries(self) -> Iterator[list[object]]:
        """Yield the entries of the next list, some at a time."""
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return
        while True:
            yield self._some() or [self.value()]
            if self._goes_on("]"):
                return

    def _some(self) -> list[object]:
        """Return the next entries that are surely complete; none if that is uncertain.

        The text is cut at a comma. If this comma is within a text, an object or a list, the part before
        it does not parse as entries of a list.
        """
        is_object = self._next() == "{"
        limit = self._at + self._together
        end = self._text.find("]", self._at, limit)
        cut = (
            self._text.rfind("}," if is_object else ",", self._at, limit if end < 0 else end) + is_object
        )
        if cut <= self._at:
            return []
        try:
            entries: list[object] = json.loads(f"[{self._text[self._at : cut]}]")
        except (ValueError, RecursionError):
            self._together //= 4  # a guess that fails often must not cost much
            return []
        self._at = cut
        return entries

    def value(self) -> object:
        """Return the next value."""
        self._next()
        try:
            value, end = self._scan(self._text, self._at)
        except json.JSONDecodeError as error:
            # The value may continue after the decoded text, but that text is longer than a row may be.
            raise (_no_json() if self._is_last() else self._too_large()) from error
        except RecursionError as error:
            raise RequestError("body: nested too deeply") from error
        except ValueError as error:  # Python reads whole numbers of 4,300 digits
            raise RequestError(
                "body: a number has thousands of digits; send numbers of fewer"
            ) from error
        if end - self._at > self._largest:
            raise self._too_large()
        self._at = end
        return value

    def _goes_on(self, close: str) -> bool:
        """Step over the mark after a value; return whether it closes the object or list."""
        mark = self._next()
        if mark not in (",", close) or not mark:
            raise _no_json()
        self._at += 1
        return mark == close

    def _next(self) -> str:
        """Return the next character that is no space, with a whole value decoded; empty at the end."""
        while True:
            if len(self._text) - self._at <= self._largest and not self._is_last():
                self._more()
            space = SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._is_last() or len(self._text) - self._at > self._largest:
                return self._text[self._at : self._at + 1]

    def _is_last(self) -> bool:
        return self._taken >= len(self._body)

    def _more(self) -> None:
        window = self._body[self._taken : self._taken + WINDOW]
        self._taken += len(window)
        try:
            text = self._decode(window, self._is_last())
        except UnicodeDecodeError as error:
            raise RequestError("body: not valid UTF-8") from error
        self._text, self._at = self._text[self._at :] + text, 0

    def _too_large(self) -> RequestError:
        return RequestError(
            f"body: not valid JSON, or one value in it has more than {self._largest} characters"
        )


def _no_json() -> RequestError:
    return RequestError("body: not valid JSON")
