"""Charts over nights: what a campaign promised and realised, with both bands."""

from __future__ import annotations

import altair as alt
import pandas as pd

from ui.charts import band, effect_axis, titled
from ui.palette import BLUE, GREY, ORANGE
from ui.wording import Z95, interval

ALL_NIGHTS = "sequence_low", "sequence_high"


def realised_chart(rows: pd.DataFrame, *, binary: bool) -> alt.LayerChart:
    """Draw the realised effect per treatment until each night, and what had been promised.

    Args:
        rows: one campaign, outcome and comparison of ``decisions.realised_over_time``, a row a night.
        binary: whether the outcome is 0 or 1.
    """
    frame = rows.assign(night=pd.to_datetime(rows["decision_date"]))
    x = alt.X("night:T", title="night", axis=alt.Axis(format="%-d %b", tickMinStep=86_400_000))

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title="added per treatment", axis=effect_axis(binary=binary))

    base = alt.Chart(frame).encode(x=x)
    drawn = band(frame, x, y, ("ci_low", "ci_high"))
    for end in ALL_NIGHTS:
        drawn += base.mark_line(color=BLUE, strokeDash=[1, 3]).encode(y=y(end))
    drawn += base.mark_line(color=BLUE, point=alt.OverlayMarkDef(color=BLUE)).encode(y=y("uplift"))
    if frame["promised"].notna().all():
        drawn += base.mark_line(color=ORANGE).encode(y=y("promised"))
        ends = frame.assign(
            low=frame["promised"] - Z95 * frame["promised_std_error"],
            high=frame["promised"] + Z95 * frame["promised_std_error"],
        )
        drawn += band(ends, x, y, ("low", "high"), ORANGE)
    zero = alt.Chart(pd.DataFrame({"uplift": [0.0]})).mark_rule(color=GREY).encode(y=y("uplift"))
    return titled(zero + drawn, _finding(frame.iloc[-1], binary=binary))


def _finding(last: pd.Series, *, binary: bool) -> str:
    figures = interval(last["uplift"], *(last[end] for end in ALL_NIGHTS), binary=binary)
    low, high = (last[end] for end in ALL_NIGHTS)
    choosing = last["comparison"] == "choosing"
    what = "Choosing by the score has" if choosing else "The treatments have"
    if low > 0:
        word = f"{what} added outcomes"
    elif high < 0:
        word = f"{what} cost outcomes"
    else:
        word = f"{what} not been shown to change outcomes"
    return f"{word}: {figures} per treatment until {last['decision_date']}"
