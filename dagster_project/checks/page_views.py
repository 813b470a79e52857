"""Great Expectations' page views, whose templates are compiled once a process.

Each original view compiles all templates anew, which takes most of the time of the pages.
"""

from __future__ import annotations

import io
from typing import Any, Final

from great_expectations.render.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

_COMPILED: Final[dict[str, bytes]] = {}  # by Jinja's key of a template; it also compares the source


class _InMemory(BytecodeCache):
    """Compiled templates, kept for the life of the process."""

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in _COMPILED:
            bucket.load_bytecode(io.BytesIO(_COMPILED[bucket.key]))

    def dump_bytecode(self, bucket: Bucket) -> None:
        file = io.BytesIO()
        bucket.write_bytecode(file)
        _COMPILED[bucket.key] = file.getvalue()


class _CompiledOnce:
    """Takes templates from the cache, and leaves new ones there."""

    env: Environment

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.env.bytecode_cache = _InMemory()


class PageView(_CompiledOnce, DefaultJinjaPageView):
    """The page of one validation."""


class IndexPageView(_CompiledOnce, DefaultJinjaIndexPageView):
    """The page that lists them."""
