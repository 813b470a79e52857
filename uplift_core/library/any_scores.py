"""Is a model's ranking worth anything? Evaluate anybody's scores on the users of an experiment.

The figures are those of the engine, with the same standard errors, so that a score of causalml, of
econml, or of a rule of thumb can be compared with ours. The users must not have trained the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.calibration import calibration_slope
from uplift_core.evaluation.curves import qini_auc, uplift_at, uplift_by_decile
from uplift_core.evaluation.estimate import Estimate, difference, spread
from uplift_core.evaluation.gate import RESPONSE, Finding, Judged, compare, fewer_events, judge
from uplift_core.evaluation.groups import JointGroups, ScoreGroups, joint_groups
from uplift_core.evaluation.policy import gain_over_none, gain_over_random, policy_value
from uplift_core.evaluation.profit import Prices
from uplift_core.evaluation.rate import autoc

Column = npt.ArrayLike
GAIN = "gain_over_random"
RANDOM = "random"


@dataclass(frozen=True)
class Figure:
    """One figure of one ranking, in units of the outcome per user, with its standard error.

    ``verdict`` is ``better`` or ``worse`` than ``other`` if the 95 % interval leaves out 0, and else
    ``inconclusive``; figures that are compared with nothing have none.
    """

    ranking: str
    metric: str
    value: float
    std_error: float
    ci_low: float
    ci_high: float
    other: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What the users of an experiment say of some rankings.

    Attributes:
        budget: the share of users that is treated.
        n: number of users.
        figures: of each ranking policy value, gain over random targeting, AUTOC, uplift among the best,
            Qini (both as scikit-uplift has them, Qini for binary outcomes), calibration slope and, if a
            value is known, profit in money per user; and of each pair the difference of gains.
        deciles: rows of the uplift by tenth of each ranking, see ``evaluation.curves.Decile``.
        words: ranking -> what the gate of the engine says of it, with the reason; the response model is
            ``mu0``, so there are none without it. Of several rankings the best looks better than it is,
            which the gate takes into account.
    """

    budget: float
    n: int
    figures: tuple[Figure, ...]
    deciles: tuple[dict[str, object], ...]
    words: Mapping[str, Finding]

    def rows(self) -> list[dict[str, object]]:
        """Return the figures as rows, for a table of any library."""
        return [asdict(figure) for figure in self.figures]

    def figure(self, ranking: str, metric: str, other: str = "") -> Figure:
        """Return one figure.

        Raises:
            KeyError: there is none.
        """
        for figure in self.figures:
            if (figure.ranking, figure.metric) == (ranking, metric) and other in {"", figure.other}:
                return figure
        raise KeyError((ranking, metric, other))

    def __str__(self) -> str:
        shown = [f"{self.n:,} users, {self.budget:.0%} treated; ± is one standard error"]
        for figure in self.figures:
            against = f" over {figure.other}: {figure.verdict}" if figure.other else ""
            shown.append(
                f"{figure.ranking:20} {figure.metric:20} {figure.value:+.5f} ± {figure.std_error:.5f}"
                f"{against}"
            )
        shown += [f"{ranking:20} {found.word}. {found.reason}" for ranking, found in self.words.items()]
        return "\n".join(shown)


def evaluate(  # noqa: PLR0913 - the columns of users, and the budget
    y: Column,
    arm: Column,
    scores: Mapping[str, Column],
    *,
    e: float | Column,
    budget: float = 0.3,
    mu0: Column | None = None,
    mu1: Column | None = None,
    cluster: Column | None = None,
    cost: float | None = None,
    value: float | None = None,
) -> Evaluation:
    """Evaluate rankings of the users of a randomized experiment.

    Args:
        y: (n,) outcomes, finite numbers.
        arm: (n,) 1 or true under treatment, 0 or false under control.
        scores: name of each ranking -> (n,) scores by a model that never saw these users; users with
            larger scores are treated first.
        e: the chance of being treated by design, one number or (n,), between 0 and 1.
        budget: share of users to treat.
        mu0: (n,) predicted outcome under control, by a model that never saw these users; it narrows the
            errors, and the gate compares rankings with it. Default: the mean of the control.
        mu1: (n,) predicted outcome under treatment, likewise.
        cluster: (n,) who was assigned together, or shares outcomes; errors then add up clusters.
        cost: cost of treating a user, in money; default: 0.
        value: value of one unit of the outcome, in money; with it there is the figure ``profit``, what
            the list adds less what it costs, per user.

    Raises:
        DataError: names the column, the value and the remedy.
    """
    outcome, w = _numbers("y", y), _arms(arm)
    n = len(outcome)
    ranked = {name: _numbers(f"scores '{name}'", score) for name, score in scores.items()}
    chances = np.atleast_1d(_numbers("e", e))
    _refuse(
        {
            "arm": len(w) != n,
            **{f"scores '{name}'": len(score) != n for name, score in ranked.items()},
            "e": len(chances) not in {1, n},
        },
        n,
    )
    if RESPONSE in ranked:
        raise DataError(f"scores '{RESPONSE}': this name is that of mu0's ranking; choose another")
    if not ranked or not 0 < budget < 1:
        raise DataError("scores must hold one ranking or more, and budget must be between 0 and 1")
    if chances.min() <= 0 or chances.max() >= 1:
        raise DataError(
            f"e: {chances.min():g} to {chances.max():g}; every chance must be between 0 and 1"
        )
    prices = _prices(cost, value)
    varying = len(chances) > 1 and bool(np.ptp(chances))
    clusters = None if cluster is None else _clusters(cluster, n)
    joint = joint_groups(
        ranked,
        w,
        outcome,
        mu0=_predicted("mu0", mu0, outcome, w == 0),
        mu1=_predicted("mu1", mu1, outcome, w == 1),
        propensity=float(chances.mean()),
        cluster=clusters,
        propensities=chances if varying else None,
    )
    binary = bool(np.isin(outcome, (0, 1)).all())
    words: Mapping[str, Finding] = {}
    if mu0 is not None:
        with_response = replace(joint, scores={**joint.scores, RESPONSE: _numbers("mu0", mu0)})
        judged = Judged(
            n, fewer_events(outcome, w, clusters), clustered=clusters is not None, who="these users"
        )
        words = judge(compare([with_response], [*ranked], budget), judged, budget).findings
    deciles = tuple(
        {"ranking": name} | asdict(row) for name in ranked for row in uplift_by_decile(joint.by(name)[0])
    )
    figures = tuple(_figures(joint, budget, prices, binary=binary))
    return Evaluation(budget, n, figures, deciles, words)


def _figures(
    joint: JointGroups, budget: float, prices: Prices | None, *, binary: bool
) -> Iterator[Figure]:
    metrics: dict[str, Callable[[ScoreGroups], Estimate]] = {
        "policy_value": lambda groups: policy_value(groups, budget),
        "autoc": autoc,
        f"uplift_at_{100 * budget:g}": lambda groups: uplift_at(groups, budget),
        "calibration_slope": calibration_slope,
    }
    if binary:
        metrics["qini_auc"] = qini_auc
    if prices is not None:
        metrics["profit"] = lambda groups: _profit(groups, budget, prices)
    gains: dict[str, Estimate] = {}
    for name in joint.scores:
        groups, place = joint.by(name)
        yield from (_figure(name, metric, of(groups)) for metric, of in metrics.items())
        gains[name] = spread(gain_over_random(groups, budget), place)
        yield _figure(name, GAIN, gains[name], RANDOM)
    for name, gain in gains.items():
        for other, its_gain in gains.items():
            if other != name:
                yield _figure(name, GAIN, difference(joint, gain, its_gain), other)


def _profit(groups: ScoreGroups, budget: float, prices: Prices) -> Estimate:
    added = gain_over_none(groups, budget)
    net = prices.value * added.value - prices.cost * budget
    return Estimate(net, prices.value * added.std_error)


def _prices(cost: float | None, value: float | None) -> Prices | None:
    given = {"cost": 0.0 if cost is None else cost, "value": value}
    wrong = [name for name, price in given.items() if price is not None and not 0 <= price < np.inf]
    if wrong:
        raise DataError(f"{wrong[0]}: {given[wrong[0]]} must be a number from 0, in money")
    if value is None:
        if cost is not None:
            raise DataError("cost: says nothing without value=, the value of one unit of the outcome")
        return None
    return Prices(value, given["cost"] or 0.0)


def _figure(ranking: str, metric: str, estimate: Estimate, other: str = "") -> Figure:
    return Figure(
        ranking,
        metric,
        estimate.value,
        estimate.std_error,
        estimate.ci_low,
        estimate.ci_high,
        other,
        estimate.verdict if other else "",
    )


def _numbers(name: str, column: Column) -> Doubles:
    try:
        values = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: must be numbers ({error})") from error
    if values.size == 0 or not np.isfinite(values).all():
        bad = (
            "is empty"
            if values.size == 0
            else f"row {int(np.argmin(np.isfinite(values)))} is not finite"
        )
        raise DataError(f"{name}: {bad}; leave out or correct these users")
    return values


def _arms(arm: Column) -> Doubles:
    w = _numbers("arm", arm)
    other = w[~np.isin(w, (0, 1))]
    if len(other):
        raise DataError(f"arm: {other[0]:g} is no arm; give 1 under treatment and 0 under control")
    if w.min() == w.max():
        raise DataError("arm: all users are in one arm; users of both arms are needed")
    return w


def _clusters(cluster: Column, n: int) -> npt.NDArray[np.int64]:
    names, number = np.unique(np.asarray(cluster).astype(str), return_inverse=True)
    _refuse({"cluster": len(number) != n}, n)
    if names[0] == "":
        raise DataError("cluster: is empty for a user; give each user a cluster")
    return number.astype(np.int64)


def _predicted(
    name: str, given: Column | None, outcome: Doubles, in_arm: npt.NDArray[np.bool_]
) -> Doubles:
    if given is None:
        return np.full(len(outcome), outcome[in_arm].mean())
    values = _numbers(name, given)
    _refuse({name: len(values) != len(outcome)}, len(outcome))
    return values


def _refuse(of_other_length: Mapping[str, bool], n: int) -> None:
    wrong = [name for name, differs in of_other_length.items() if differs]
    if wrong:
        raise DataError(f"{wrong[0]}: has another number of rows than y, which has {n}")
