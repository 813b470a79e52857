"""Draw the plots of one contrast as Vega-Lite specifications, for Dagster, the model card and the app.

Each plot's title gives the result with ± one standard error, and claims no more than the 95 % interval
shows; its subtitle says how to read the plot. The first three colours are Okabe and Ito's, which people
of every colour vision can distinguish; all colours have a contrast of at least 3 to white (WCAG 2.2).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import altair as alt
from altair.utils import schemapi

from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.tables import NAMES

Rows = Sequence[dict[str, Any]]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B35A8C", "#332288", "#6B6B00")
GREY, BLACK = "#767676", "#000000"
FILL = 0.2  # opacity of bands and overlapping bars; their edges are drawn in the full colour
ERRORS = "± is one standard error"
BANDS = "bands hold 95 % at each budget, dotted lines 95 % of whole curves"
WIDTH, HEIGHT = 460, 280
SUBTITLE = 90  # characters per line


def specification(chart: alt.TopLevelMixin) -> str:
    """Return the plot as Vega-Lite JSON."""
    return json.dumps(chart.to_dict(validate=schemapi.DEBUG_MODE), separators=(",", ":"))


def without_validation() -> AbstractContextManager[None]:
    """Return a context in which plots are drawn in half the time: Altair does not check its schema.

    Tests draw the same plots with the checks on.
    """
    return schemapi.debug_mode(arg=False)


def qini_plot(
    rows: Rows, learner: str, outcome: str, budget: float, bands: Rows = ()
) -> alt.TopLevelMixin:
    """Plot the Qini curves of the deciding learner and the response model, and the random line.

    ``bands``: rows of the learner's band, which holds the whole curve.
    """
    shown = [r for r in rows if r["learner"] in (learner, "response")]
    users = max(r["targeted"] for r in shown)
    end = next(r["incremental"] for r in shown if r["targeted"] == users)
    data = [
        {
            "share": r["targeted"] / users,
            "incremental": r["incremental"],
            "std_error": r["std_error"],
            **_ends(r["incremental"], r["std_error"]),
            "ranking": NAMES[r["learner"]],
        }
        for r in shown
    ]
    line = [{"share": 0.0, "incremental": 0.0}, {"share": 1.0, "incremental": end}]
    at = min((r for r in data if r["ranking"] == NAMES[learner]), key=lambda r: abs(r["share"] - budget))
    title = (
        f"{NAMES[learner]}: best {at['share']:.0%} add {at['incremental']:,.0f} ± "
        f"{at['std_error']:,.0f}, random targeting {end * at['share']:,.0f}"
    )
    x = _share("share", "users treated, best score first")
    curves = _two_rankings(
        data, learner, x, alt.Y("incremental:Q").title(f"added '{outcome}', held-out users")
    )
    random = (
        alt.Chart(_data(line))
        .mark_line(strokeDash=[5, 4], color=GREY)
        .encode(x="share:Q", y="incremental:Q")
    )
    return _titled(
        random + _whole_curve(bands, "qini") + curves,
        title,
        f"Qini curve. Above the dashed line of random targeting is good; {BANDS}; {ERRORS}.",
    )


def decile_plot(rows: Rows, learner: str, outcome: str, *, clustered: bool = False) -> alt.TopLevelMixin:
    """Plot the uplift by tenth of the score, with error bars.

    Tenths share no user: their errors are independent. They may share clusters; where users are in
    clusters, the errors are added, and the title claims too little at most.
    """
    shown = [r for r in rows if r["learner"] == learner and not math.isnan(r["uplift"])]
    data = [
        {
            "decile": r["decile"],
            "uplift": r["uplift"],
            **({} if math.isnan(r["std_error"]) else _ends(r["uplift"], r["std_error"])),
        }
        for r in shown
    ]
    best, worst = (Estimate(shown[i]["uplift"], shown[i]["std_error"]) for i in (0, -1))
    errors = (best.std_error, worst.std_error)
    error = sum(errors) if clustered else math.hypot(*errors)
    difference = Estimate(best.value - worst.value, error)
    title = f"{NAMES[learner]}: too few outcomes to compare the best with the worst tenth"
    if not math.isnan(difference.std_error):
        title = (
            f"{NAMES[learner]}: best tenth {_with_error(best)}, "
            f"{_differs(difference.ci_low, difference.ci_high)} worst tenth {_with_error(worst)}"
        )
    base = alt.Chart(_data(data)).encode(
        x=alt.X("decile:O").title("tenth of users, 1 has the best score").axis(labelAngle=0)
    )
    bars = base.mark_bar(color=COLOURS[0], opacity=1).encode(
        y=alt.Y("uplift:Q").title(f"uplift in '{outcome}' per user")
    )
    errors = base.mark_rule(color=BLACK).encode(y="low:Q", y2="high:Q")
    return _titled(
        bars + errors,
        title,
        "Difference in mean outcome between the arms, observed among held-out users; lines are 95 % "
        f"intervals; {ERRORS}. Bars should fall from left to right.",
    )


def policy_plot(
    rows: Rows, learner: str, outcome: str, budget: float, bands: Rows = ()
) -> alt.TopLevelMixin:
    """Plot the gain of acting on the scores by budget, beside the response model's; 0 is random.

    ``bands``: rows of the learner's band, which holds the whole curve.
    """
    shown = [r for r in rows if r["estimator"] == "aipw" and r["learner"] in (learner, "response")]
    data = [
        {
            "budget": r["budget"],
            "gain": r["gain_over_random"],
            **_ends(r["gain_over_random"], r["gain_std_error"]),
            "ranking": NAMES[r["learner"]],
        }
        for r in shown
    ]
    at = min((r for r in shown if r["learner"] == learner), key=lambda r: abs(r["budget"] - budget))
    gain = Estimate(at["gain_over_random"], at["gain_std_error"])
    title = (
        f"{NAMES[learner]}: at {at['budget']:.0%} {_differs(gain.ci_low, gain.ci_high)} random, "
        f"{_with_error(gain)} '{outcome}' per user"
    )
    x = _share("budget", "budget, share of users treated")
    curves = _two_rankings(
        data, learner, x, alt.Y("gain:Q").title(f"gain over random, '{outcome}' per user")
    )
    zero = alt.Chart(_data([{"y": 0}])).mark_rule(strokeDash=[5, 4], color=GREY).encode(y="y:Q")
    return _titled(
        zero + _whole_curve(bands, "gain_over_random") + curves,
        title,
        "What the ranking adds to random targeting of equal size, doubly robust on held-out users; "
        f"{BANDS}; {ERRORS}. 0 is no better than random.",
    )


def calibration_plot(rows: Rows, learner: str, outcome: str) -> alt.TopLevelMixin:
    """Plot the mean effect against the mean prediction, by fifth of the score."""
    data = [
        {k: r[k] for k in ("predicted", "effect", "ci_low", "ci_high", "quantile")}
        for r in rows
        if r["learner"] == learner
    ]
    ends = [
        min(r["predicted"] for r in data),
        max(r["predicted"] for r in data),
    ]
    off = sum(not r["ci_low"] <= r["predicted"] <= r["ci_high"] for r in data)
    title = f"{NAMES[learner]}: predicted effect outside the interval in {off} of {len(data)} fifths"
    base = alt.Chart(_data(data)).encode(
        x=alt.X("predicted:Q").title(f"mean predicted effect, '{outcome}' per user").scale(zero=False)
    )
    points = base.mark_point(filled=True, size=70, opacity=1, color=COLOURS[0]).encode(
        y=alt.Y("effect:Q").title(f"average effect, '{outcome}' per user")
    )
    errors = base.mark_rule(color=COLOURS[0]).encode(y="ci_low:Q", y2="ci_high:Q")
    diagonal = (
        alt.Chart(_data([{"x": e, "y": e} for e in ends]))
        .mark_line(strokeDash=[5, 4], color=GREY)
        .encode(x="x:Q", y="y:Q")
    )
    return _titled(
        diagonal + errors + points,
        title,
        "Each point is a fifth of held-out users by score, with its 95 % interval. On the dashed line "
        "the prediction is right.",
    )


def distribution_plot(rows: Rows, arm: str, learner: str, outcome: str) -> alt.TopLevelMixin:
    """Plot histograms of predicted effects of all arms, from rows of arm, low, high and users."""
    arm_rows = [r for r in rows if r["arm"] == arm]
    positive = sum(r["users"] for r in arm_rows if r["low"] + r["high"] > 0)
    share = positive / sum(r["users"] for r in arm_rows)
    arms = sorted({r["arm"] for r in rows})
    title = f"{arm}, {NAMES[learner]}: a positive effect is predicted for {share:.0%} of users"
    chart = (
        alt.Chart(_data(rows))
        .mark_bar(opacity=1, fillOpacity=FILL, strokeWidth=1)
        .encode(
            x=alt.X("low:Q", bin="binned").title(f"predicted effect (CATE), '{outcome}' per user"),
            x2="high:Q",
            y=alt.Y("users:Q", stack=None).title("held-out users"),
            color=_colour("arm", arms),
            stroke=alt.Stroke("arm:N", scale=_scale(arms), legend=None),
        )
    )
    return _titled(
        chart,
        title,
        "Scores of held-out users by the learner that decides, for each arm against the control.",
    )


def _two_rankings(data: Rows, learner: str, x: alt.X, y: alt.Y) -> alt.LayerChart:
    """Plot curves and bands of the deciding learner and the response model."""
    colour = _colour("ranking", [NAMES[learner], NAMES["response"]])
    base = alt.Chart(_data(data)).encode(x=x, color=colour)
    band = base.mark_area(opacity=FILL).encode(y="low:Q", y2="high:Q")
    low, high = (base.mark_line(strokeWidth=0.7).encode(y=f"{end}:Q") for end in ("low", "high"))
    both: alt.LayerChart = band + low + high + base.mark_line().encode(y=y)
    return both


def _whole_curve(bands: Rows, curve: str) -> alt.LayerChart:
    """Plot the ends of the band that holds the whole curve, as dotted lines."""
    data = [
        {"share": row["budget"], "low": row["band_low"], "high": row["band_high"]}
        for row in bands
        if row["curve"] == curve
    ]
    base = alt.Chart(_data(data)).mark_line(strokeDash=[1, 3], color=COLOURS[0])
    return alt.LayerChart(layer=[base.encode(x="share:Q", y=f"{end}:Q") for end in ("low", "high")])


def _ends(value: float, error: float) -> dict[str, float]:
    """Return the ends of the 95 % interval."""
    estimate = Estimate(value, error)
    return {"low": estimate.ci_low, "high": estimate.ci_high}


def _data(rows: Rows) -> alt.Data:
    return alt.Data(values=list(rows))  # type: ignore[no-untyped-call]


def _share(column: str, title: str) -> alt.X:
    return alt.X(f"{column}:Q").title(title).axis(format="%").scale(domain=[0, 1])


def _colour(column: str, names: Sequence[str]) -> alt.Color:
    legend = alt.Legend(orient="bottom", symbolOpacity=1)
    return alt.Color(f"{column}:N", scale=_scale(names), title=None, legend=legend)


def _scale(names: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=list(COLOURS[: len(names)]))


def _differs(low: float, high: float) -> str:
    """Say in words what the 95 % interval of a difference shows."""
    if low > 0:
        return "above"
    return "below" if high < 0 else "within chance of"


def _with_error(estimate: Estimate) -> str:
    """Format an estimate to the second digit of its error; further digits are noise."""
    error = estimate.std_error
    digits = max(1 - math.floor(math.log10(error)), 0) if error > 0 else 3
    return f"{estimate.value:+.{digits}f} ± {error:.{digits}f}"


def _titled(chart: alt.LayerChart | alt.Chart, title: str, subtitle: str) -> alt.TopLevelMixin:
    words, lines = subtitle.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) >= SUBTITLE:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    heading = alt.TitleParams(title, subtitle=lines, anchor="start", fontSize=14, subtitleFontSize=11)
    return chart.properties(width=WIDTH, height=HEIGHT, title=heading)
