"""Tables for people: headings instead of column names, equal digits in a column, ids as text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from ui.wording import decimals

HEADINGS = {  # other headings are the column's name without underscores
    "agrees": "promise kept",
    "budget_kind": "budget is a",
    "budget_used": "budget",
    "ci_high": "to (95 %)",
    "ci_low": "from (95 %)",
    "decision_date": "date",
    "exited": "left",
    "expected_treat_rate": "share at or above it",
    "gain_over_random": "gain over random",
    "holdout": "held out",
    "mean_control": "mean of the held out",
    "mean_treated": "mean of the treated",
    "n_control": "held out",
    "n_treated": "treated",
    "nominal": "how often it should",
    "outcomes": "added outcomes",
    "outcomes_error": "added outcomes ± (standard error)",
    "override": "overruled because",
    "profit_error": "profit ± (standard error)",
    "promised_std_error": "promised ± (standard error)",
    "propensity": "chance of treatment, before the draws",
    "random": "at random",
    "realised_rate": "share treated",
    "response": "by the response model",
    "score": "predicted effect",
    "share": "how often it happened",
    "sql_file": "SQL file",
    "sql_sha256": "SQL, sha256",
    "uplift": "measured effect",
    "user_id": "user id",
    "value": "by predicted effect",
}
SHARES = frozenset({"budget", "expected_treat_rate", "realised_rate", "share", "nominal", "propensity"})
IDS = frozenset({"user_id"})  # shown as text: 63 bits are too many for a browser's numbers


def show_table(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    headings: Mapping[str, str] = {},
    shares: Collection[str] = (),
    height: int | None = None,
) -> None:
    """Show a table of those ``columns`` that the rows have, in this order.

    Args:
        rows: the rows.
        columns: names of the columns to show.
        headings: column -> heading, if it is not the usual one.
        shares: columns to show in percent, besides those in ``SHARES``.
        height: pixels; by default the height of all rows.
    """
    frame = pd.DataFrame(rows)
    frame = frame[[name for name in columns if name in frame]]
    names = {name: headings.get(name, heading(name)) for name in frame}
    formats = {names[name]: _config(name, frame[name], share=name in shares) for name in frame}
    large = [name for name in frame.select_dtypes("floating") if not decimals(*frame[name].dropna())]
    frame = frame.round(dict.fromkeys(large, 0))
    st.dataframe(
        frame.astype(dict.fromkeys(IDS & set(frame), str)).rename(columns=names),
        hide_index=True,
        height="auto" if height is None else height,
        column_config={name: config for name, config in formats.items() if config is not None},
    )


def heading(name: str) -> str:
    """Return the heading of a column."""
    return HEADINGS.get(name, name.replace("_", " "))


def _config(name: str, column: pd.Series, *, share: bool) -> Any:
    if name in IDS or not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return None
    if share or name in SHARES:
        return st.column_config.NumberColumn(format="percent")
    if pd.api.types.is_integer_dtype(column):
        return st.column_config.NumberColumn(format="localized")
    digits = decimals(*column.dropna())
    return st.column_config.NumberColumn(format=f"%.{digits}f" if digits else "localized")
