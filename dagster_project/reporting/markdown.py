"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format rows as a Markdown table."""
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")


def with_error(value: float, error: float, *, digits: int = 5, sign: bool = False) -> str:
    """Format a figure with its standard error."""
    plus = "+" if sign else ""
    return f"{value:{plus}.{digits}f} ± {error:.{digits}f}"
