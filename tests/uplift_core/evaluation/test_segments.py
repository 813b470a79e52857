"""Effects by segment, against plain numpy on single users and scipy's Welch test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_ind

from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.gate import LEAST_EVENTS
from uplift_core.evaluation.segments import PARTS, BinSums, segments


def bins_of(value: np.ndarray, phi: np.ndarray, events: np.ndarray) -> BinSums:
    """Sums by distinct value; missing values come last."""
    _, place = np.unique(value, return_inverse=True)
    distinct = np.unique(value)

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(place.ravel(), weights=weights, minlength=len(distinct))

    ones = np.ones(len(value))
    return BinSums(distinct, total(ones), total(phi), total(phi**2), total(events), total(events))


@pytest.fixture(scope="module")
def users() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    n = 4000
    level = rng.integers(0, 3, n).astype(float)
    number = np.round(rng.normal(size=n), 1)
    number[rng.random(n) < 0.1] = np.nan
    phi = rng.normal(size=n) + 0.3 * (level == 2)
    return {"level": level, "number": number, "phi": phi, "flat": np.zeros(n)}


def test_a_segments_effect_and_its_difference_are_those_of_its_users(users) -> None:
    events = np.ones(len(users["phi"]))
    found = segments(
        {name: bins_of(users[name], users["phi"], events) for name in ("level", "number", "flat")}
    )
    assert [s.label for s in found if s.feature == "level"] == ["0", "1", "2"]
    assert sum(s.feature == "number" for s in found) == PARTS + 1  # and those who have none
    assert not [s for s in found if s.feature == "flat"]  # everybody is no segment
    for s in found:
        value, phi = users[s.feature], users["phi"]
        if s.low is None:
            inside = np.isnan(value)
        elif s.is_level:
            inside = value == s.low
        else:
            inside = (value >= s.low) & (value < (np.inf if s.high is None else s.high))
        assert s.n == inside.sum()
        assert s.effect.value == pytest.approx(phi[inside].mean())
        assert s.effect.std_error == pytest.approx(phi[inside].std() / np.sqrt(s.n))
        test = ttest_ind(phi[inside], phi[~inside], equal_var=False)
        assert s.difference.value == pytest.approx(phi[inside].mean() - phi[~inside].mean())
        assert s.p_value == pytest.approx(test.pvalue, rel=0.02, abs=1e-4)
    fifths = [s.n for s in found if s.feature == "number" and s.low is not None]
    assert min(fifths) > 0.8 * max(fifths)


def test_q_values_are_benjamini_and_hochbergs(users) -> None:
    events = np.ones(len(users["phi"]))
    found = segments({name: bins_of(users[name], users["phi"], events) for name in ("level", "number")})
    p = sorted(s.p_value for s in found)
    for s in found:
        q = min(p[k] * len(p) / (k + 1) for k in range(len(p)) if p[k] >= s.p_value)
        assert s.q_value == pytest.approx(min(q, 1))
    assert min(found, key=lambda s: s.q_value).label == "2"


def test_too_few_outcomes_are_not_tested(users) -> None:
    level = users["level"]
    few = np.where(level == 1, (np.cumsum(level == 1) <= 29).astype(float), 1.0)
    by_label = {s.label: s for s in segments({"level": bins_of(level, users["phi"], few)})}
    assert by_label["1"].p_value is by_label["1"].q_value is None
    assert by_label["0"].p_value is not None


def test_where_users_are_in_clusters_errors_and_events_are_those_of_clusters(users) -> None:
    rng = np.random.default_rng(9)
    n = len(users["phi"])
    cluster = rng.permutation(np.repeat(np.arange(n), rng.integers(1, 9, n))[:n])
    phi = users["phi"] + rng.normal(size=n)[cluster]
    event = (rng.random(n) < 0.05).astype(float)
    treated = (rng.random(n) < 0.5).astype(float)
    terms = {"one": np.ones(n), "phi": phi}
    terms |= {"events_treated": event * treated, "events_control": event * (1 - treated)}
    features = {}
    for name in ("level", "number"):
        plain = bins_of(users[name], phi, event)
        place = np.searchsorted(plain.value, users[name])
        features[name] = replace(plain, clusters=Clusters.of(cluster, place, terms, len(plain.n)))
    found = segments(features)
    assert len(found) == 3 + PARTS + 1
    for s in found:
        value = users[s.feature]
        inside = np.isnan(value) if s.low is None else value >= s.low
        if s.low is not None:
            inside &= value == s.low if s.is_level else value < (np.inf if s.high is None else s.high)
        parts = np.where(inside, (phi - phi[inside].mean()) / inside.sum(), 0.0)
        of_segment = np.bincount(cluster, parts)
        parts -= np.where(inside, 0.0, (phi - phi[~inside].mean()) / (~inside).sum())
        of_both = np.bincount(cluster, parts)
        here, everywhere = len(np.unique(cluster[inside])), len(np.unique(cluster))
        error = np.sqrt(here / (here - 1) * (of_segment @ of_segment))
        assert s.effect.std_error == pytest.approx(error, rel=1e-9)
        error = np.sqrt(everywhere / (everywhere - 1) * (of_both @ of_both))
        assert s.difference.std_error == pytest.approx(error, rel=1e-9)
        sides = (inside & (event * arm > 0) for arm in (treated, 1 - treated))
        others = (~inside & (event * arm > 0) for arm in (treated, 1 - treated))
        counts = [len(np.unique(cluster[some])) for some in (*sides, *others)]
        assert (s.p_value is not None) == (min(counts) >= LEAST_EVENTS)
    assert len({s.p_value is None for s in found}) == 2
