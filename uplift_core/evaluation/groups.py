"""Score groups: all users of one score as one row.

No figure that is computed from score groups can depend on the order of users. One ``GROUP BY`` makes the
groups for all figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import WEIGHTED, Sums, balance_weights

HUNDREDTHS = np.arange(1, 101) / 100


@dataclass(frozen=True, kw_only=True)
class ScoreGroups(Sums):
    """Users of one contrast's two arms by score, best score first.

    Attributes:
        score: (n_groups,) distinct and descending.
    """

    score: Doubles

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.score) != len(self.n):
            raise DataError("score groups: columns must be of one length, at least 1")
        if not np.all(np.isfinite(self.score)):
            raise DataError("score groups: a score is not finite")
        if np.any(np.diff(self.score) >= 0):
            raise DataError("score groups: scores must be distinct and descending")

    @property
    def before(self) -> Doubles:
        """(n_groups,) users with a better score."""
        return np.asarray(np.cumsum(self.n) - self.n, dtype=np.float64)

    def treated_share(self, budget: float) -> Doubles:
        """Return pi: (n_groups,), the share of each group among the best ``budget`` of all users.

        In a group that the budget cuts, each user is treated with the same share.
        """
        if len(self.n) == 1:  # one score for all is random targeting, to the bit
            return np.asarray([budget], dtype=np.float64)
        return np.asarray(np.clip((budget * self.n_users - self.before) / self.n, 0, 1))

    def slices(self, n_bins: int) -> Iterator[Doubles]:
        """Yield the share of each group in each of ``n_bins`` equal parts of users, best part first."""
        for k in range(n_bins):
            yield self.treated_share((k + 1) / n_bins) - self.treated_share(k / n_bins)

    def between(self, budgets: npt.ArrayLike) -> ScoreGroups:
        """Merge the groups between those that a budget cuts; all budgets treat these in equal shares.

        A merged group has the score of its best user. Where users are in clusters, all hundredths cut if
        the budgets are among them, and the result is kept: products by cluster are computed once.
        """
        b = np.asarray(budgets, dtype=np.float64)
        if self.clusters is None:
            return self._cut(b)
        key = () if np.isin(b, HUNDREDTHS).all() else tuple(b.tolist())
        if key not in self._between:
            self._between[key] = self._cut(np.asarray(key) if key else HUNDREDTHS)
        return self._between[key]

    @cached_property
    def _between(self) -> dict[tuple[float, ...], ScoreGroups]:
        return {}

    @property
    def by_weight(self) -> ScoreGroups:
        """The same groups with users' weights in ``n``: what curves of the arms' means rest on."""
        return self if self.weighted is None else replace(self, n=self.n_treated + self.n_control)

    def _cut(self, budgets: Doubles) -> ScoreGroups:
        cut = np.searchsorted(np.cumsum(self.n), budgets * self.n_users)
        starts = np.unique(np.r_[0, cut, cut + 1])
        return self.starting_at(starts[starts < len(self.n)])

    def starting_at(self, starts: npt.NDArray[np.int64]) -> ScoreGroups:
        """Merge the groups from each of ``starts`` (ascending from 0) to the next."""
        sums = self.added_up(lambda column: np.add.reduceat(column, starts))
        clusters = self.clusters
        if clusters is not None:
            place = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(self.n)))
            clusters = clusters.merged(place, len(starts))
        return ScoreGroups(
            score=self.score[starts], **sums, propensity=self.propensity, clusters=clusters
        )


@dataclass(frozen=True, kw_only=True)
class JointGroups(Sums):
    """Users of one contrast's two arms by the scores of several rankings at once.

    Comparisons of rankings on the same users are computed on these groups: the users of a group have
    equal scores in every ranking.

    Attributes:
        scores: name of the ranking -> (n_groups,) its score.
    """

    scores: Mapping[str, Doubles]

    def merged(self) -> JointGroups:
        """Merge groups of equal scores, in the order of the scores."""
        columns = [np.asarray(score) for score in self.scores.values()]
        order = np.lexsort(columns[::-1])
        new = np.zeros(len(order), dtype=np.int64)
        for column in columns:
            new[1:] |= np.diff(column[order]) != 0
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.cumsum(new)
        starts = np.flatnonzero(np.r_[1, new[1:]])
        sums = self.added_up(lambda column: np.add.reduceat(column[order], starts))
        scores = {name: np.asarray(score)[order][starts] for name, score in self.scores.items()}
        clusters = self.clusters and self.clusters.merged(place, len(starts))
        return JointGroups(**sums, propensity=self.propensity, clusters=clusters, scores=scores)

    def by(self, name: str) -> tuple[ScoreGroups, npt.NDArray[np.int64]]:
        """Return the groups of one ranking, and each joint group's place among them: (n_groups,)."""
        negative, place = np.unique(-np.asarray(self.scores[name], np.float64), return_inverse=True)
        place = place.ravel()
        sums = self.added_up(lambda column: np.bincount(place, weights=column).astype(np.float64))
        clusters = self.clusters and self.clusters.merged(place, len(negative))
        groups = ScoreGroups(score=-negative, **sums, propensity=self.propensity, clusters=clusters)
        return groups, place


def joint_groups(  # noqa: PLR0913 - the columns of held-out users
    scores: Mapping[str, Doubles],
    w: Doubles,
    y: Doubles,
    *,
    mu0: Doubles,
    mu1: Doubles,
    propensity: float,
    cluster: npt.NDArray[np.generic] | None = None,
    propensities: Doubles | None = None,
    sampling: Doubles | None = None,
) -> JointGroups:
    """Make one group of each user in memory; ``sql/evaluation/joint_groups.sql`` groups larger tables.

    Args:
        scores: name of the ranking -> (n,) score.
        w: (n,) 1 under treatment, 0 under control.
        y: (n,) outcomes.
        mu0: (n,) predicted outcome under control, by a model that did not see the user.
        mu1: (n,) predicted outcome under treatment, likewise.
        propensity: e, by design, over all users.
        cluster: (n,) the user's cluster, by number or text; None if users are independent.
        propensities: (n,) each user's e, where it differs between users; else None.
        sampling: (n,) how many users of the population each stands for; None: all the same.
    """
    e = propensity if propensities is None else propensities
    weight = None if propensities is None else balance_weights(w, propensity, propensities)
    terms = user_terms(w, y, mu0=mu0, mu1=mu1, propensity=e, weight=weight)
    weighted = None if weight is None else weighted_sums(w, y, weight)
    treated, control = (w, 1 - w) if weight is None else (w * weight, (1 - w) * weight)
    phi, phi0 = terms["phi"], terms["phi0"]
    clusters = None
    if cluster is None and sampling is not None:
        cluster = np.arange(len(w))
    if cluster is not None:
        if sampling is not None:
            terms = {term: column * sampling for term, column in terms.items()}
        clusters = Clusters.of(cluster, np.arange(len(w)), terms, len(w))
    groups = JointGroups(
        n=np.ones(len(w)),
        n_treated=treated,
        y_treated=treated * y,
        y_control=control * y,
        yy_treated=w * y**2 if weight is None else (treated * y) ** 2,
        yy_control=(1 - w) * y**2 if weight is None else (control * y) ** 2,
        phi=phi,
        phi_sq=phi**2,
        phi_cu=phi**3,
        phi0=phi0,
        phi0_sq=phi0**2,
        phi0_phi=phi0 * phi,
        propensity=propensity,
        scores=scores,
        clusters=clusters,
        weighted=weighted,
    )
    if sampling is None:
        return groups
    # Errors follow from the clusters' terms, so sums of squares are not needed.
    return replace(groups, **groups.added_up(lambda column: column * sampling))


def weighted_sums(w: Doubles, y: Doubles, weight: Doubles) -> dict[str, Doubles]:
    """Compute the columns ``WEIGHTED`` of groups of one user each: (n,) each."""
    treated, control = w * weight, (1 - w) * weight
    columns = (control, treated**2, treated**2 * y, control**2, control**2 * y)
    return dict(zip(WEIGHTED, columns, strict=True))


def user_terms(  # noqa: PLR0913 - the columns of users
    w: Doubles,
    y: Doubles,
    *,
    mu0: Doubles,
    mu1: Doubles,
    propensity: float | Doubles,
    weight: Doubles | None = None,
) -> dict[str, Doubles]:
    """Compute the terms of which users' influences consist, each (n,); see ``estimate.Influence``.

    The arguments are those of ``joint_groups``, but ``propensity`` is each user's e where it differs,
    and ``weight`` (n,) is then their ``balance_weights``.
    """
    phi0 = mu0 + (1 - w) * (y - mu0) / (1 - propensity)
    treated, control = (w, 1 - w) if weight is None else (w * weight, (1 - w) * weight)
    return {
        "one": np.ones(len(w)),
        "phi": mu1 + w * (y - mu1) / propensity - phi0,
        "phi0": phi0,
        "treated": treated,
        "control": control,
        "y_treated": treated * y,
        "y_control": control * y,
    }
