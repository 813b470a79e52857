"""Describe the errors of a declaration: the key, the value, the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

REMEDIES = {
    "string_pattern_mismatch": "must match {pattern}; rename it",
    "float_parsing": "must be a number; write it without quotes",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number; write it without quotes",
    "int_type": "must be a whole number",
    "string_type": "must be a text; put it in quotes",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be one of {expected}",
    "union_tag_invalid": "kind '{tag}' must be one of {expected_tags}",
    "union_tag_not_found": "needs the key 'kind'; add kind = \"own_file\" and a path",
}
NAME = (
    "must be a name of lower-case letters, digits and underscores that starts with a letter; rename it"
)


def readable(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Describe all errors that pydantic reports, each with its key, its value and the remedy."""
    return "; ".join(lines(error, model))


def lines(error: ValidationError, model: type[BaseModel] | None = None) -> list[str]:
    """Describe each error that pydantic reports: its key, its value and the remedy."""
    known = sorted(model.model_fields) if model else []
    return [_line(item, known) for item in error.errors(include_url=False)]


def _line(item: ErrorDetails, known: list[str]) -> str:
    # A source's kind is part of pydantic's path, but is no key of the file.
    parts = [str(part) for part in item["loc"]]
    if parts[:1] == ["source"] and len(parts) > 2:  # noqa: PLR2004 - source, kind, key
        del parts[1]
    key = ".".join(parts)
    if item["type"] == "extra_forbidden":
        near = get_close_matches(key, known, n=1)
        hint = f"write '{near[0]}', or remove it" if near else "remove it or correct its spelling"
        return f"unknown key '{key}'{_value(item['input'])}; {hint}"
    if item["type"] == "missing":
        return f"key '{key}' is missing; add it"
    where = f"key '{key}'{_value(item['input'])}: " if key else ""
    return where + _remedy(item)


def _value(value: object) -> str:
    return "" if isinstance(value, dict | list | tuple | BaseModel) else f" = {value!r}"


def _remedy(item: ErrorDetails) -> str:
    context: Mapping[str, object] = item.get("ctx", {})
    if str(context.get("pattern", "")).startswith("^[a-z][a-z0-9_]"):
        return NAME
    remedy = REMEDIES.get(item["type"])
    return remedy.format(**context) if remedy else item["msg"].removeprefix("Value error, ")
