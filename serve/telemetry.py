"""What operators see: Prometheus metrics and, if it is switched on, a log of decisions."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.types import Scope

from serve.best_arm import BEST
from serve.decision_log import DecisionLog
from serve.scoring import Job, Scored

LATENCY = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0)
SCORES = tuple(round(-0.2 + 0.02 * k, 2) for k in range(21))
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's, where several workers meet


class Telemetry:
    """The metrics of one application. No label holds an attribute or a user id."""

    def __init__(self, log: DecisionLog | None, *, log_user_ids: bool) -> None:
        self._registry = registry = CollectorRegistry()
        self.log = log
        self._log_user_ids = log_user_ids
        self.requests = Counter(
            "uplift_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.latency = Histogram(
            "uplift_request_seconds", "Seconds to answer.", ["route"], buckets=LATENCY, registry=registry
        )
        target = ["experiment", "arm", "learner"]
        self.users = Counter(
            "uplift_decisions", "Users decided about.", [*target, "decision"], registry=registry
        )
        self.expected = Counter(
            "uplift_expected_treated",
            "Users that the held-out distribution would have treated, plus explorers who are treated: "
            "compare it with uplift_decisions of 'treat'.",
            target,
            registry=registry,
        )
        self.scores = Histogram(
            "uplift_score", "Predicted effects.", target, buckets=SCORES, registry=registry
        )
        self.refused = Counter(
            "uplift_refused_snapshots",
            "Published snapshots that could not be loaded.",
            registry=registry,
        )
        self.damaged = Gauge(
            "uplift_snapshot_damaged",
            "1 if the file of the snapshot in use was altered after it was loaded, else 0.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.not_logged = Counter(
            "uplift_decisions_not_logged",
            "Users with a decision that could not be logged.",
            registry=registry,
        )
        self.published = Gauge(
            "uplift_snapshot_published_timestamp_seconds",
            "When the snapshot in use was published; with several workers, the oldest of theirs.",
            multiprocess_mode="livemin",
            registry=registry,
        )

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request under its route's pattern; its path and query are not recorded."""
        route = getattr(scope.get("route"), "path", "unknown")
        requests, latency = self._of(route, status)
        requests.inc()
        latency.observe(seconds)

    @cache  # noqa: B019 - one object per application; looking labels up costs more than counting
    def _of(self, route: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(route, str(status)), self.latency.labels(route)

    @cache  # noqa: B019
    def _of_target(self, *target: str) -> tuple[Counter, Counter, Counter, Histogram]:
        return (
            self.users.labels(*target, "treat"),
            self.users.labels(*target, "no_treat"),
            self.expected.labels(*target),
            self.scores.labels(*target),
        )

    def decided(self, job: Job, scored: Scored, decision_id: str, request_id: str) -> None:
        """Log a job's decisions if logging is switched on, and count them.

        Raises:
            UnavailableError: the decisions could not be logged, and logging is required.
        """
        if self.log is not None:
            self._append(self.log, job, scored, decision_id, request_id)
        name = job.model.experiment.name
        treat, no_treat, expected, histogram = self._of_target(
            name, BEST if job.chooses else job.arm, job.learner
        )
        treated = int(scored.treat.sum())
        treat.inc(treated)
        no_treat.inc(job.size - treated)
        # The holdout group and suppressed users are never treated: expected counts the others.
        decided, drawn = scored.by_score
        expected.inc(job.expected_rate * decided + drawn)
        if job.size == 1:
            histogram.observe(float(scored.score[0]))
        else:  # a large batch is observed by its quantiles, not user by user
            for value in np.quantile(scored.score, np.linspace(0.005, 0.995, min(job.size, 100))):
                histogram.observe(float(value))

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format: of all workers if they share a folder."""
        if MULTIPROCESS not in os.environ:
            return bytes(generate_latest(self._registry))
        _forget_dead_workers(Path(os.environ[MULTIPROCESS]))
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return bytes(generate_latest(together))

    def _append(
        self, log: DecisionLog, job: Job, scored: Scored, decision_id: str, request_id: str
    ) -> None:
        shared = job.labels() | {
            "time": datetime.now(UTC).isoformat(),
            "decision_id": decision_id,
            "request_id": request_id,
        }
        del shared["evidence_reason"]  # it would repeat one sentence in every line
        reasons = scored.reasons.tolist()
        lines = []
        for i in range(job.size):
            line = shared | {
                "decision": "treat" if scored.treat[i] else "no_treat",
                "reason": reasons[i],
                "score": float(scored.score[i]),
            }
            if scored.choice is not None:
                line["arm"] = scored.choice.arms[scored.choice.shown[i]]
            if self._log_user_ids and job.users:
                line["user_id"] = job.users[i]
            lines.append(json.dumps(line))
        logged = False
        try:
            logged = log.append("\n".join(lines) + "\n")
        finally:
            if not logged:
                self.not_logged.inc(job.size)


def _forget_dead_workers(folder: Path) -> None:
    """Remove the gauges of workers that have ended; their counters stay."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:
            continue  # the number now belongs to another user's process


def age(published_at: datetime) -> float:
    """Return the seconds since ``published_at``."""
    return time.time() - published_at.timestamp()
