"""What held-out users say of a fitted model: tables, plots, and the gate's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uplift_core.errors import DataError
from uplift_core.evaluation.gate import EvidenceStatus, Verdict
from uplift_core.evaluation.tables import NAMES, Rows, summary_rows
from uplift_core.experiment.declaration import Experiment
from uplift_core.library.design import arm_named

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True)
class Evidence:
    """What the train users say of one arm's learners, out of fold; see ``uplift_core.evaluation.gate``.

    Attributes:
        champion: the learner that decides.
        word: ``passed`` if it beats random targeting and the response model, else ``inconclusive``.
        reason: the word's reason, in sentences.
    """

    champion: str
    word: EvidenceStatus
    reason: str

    @classmethod
    def of(cls, verdict: Verdict) -> Evidence:
        """Take the word on the champion."""
        return cls(verdict.champion, verdict.word, verdict.findings[verdict.champion].reason)


@dataclass(frozen=True)
class ModelEvaluation:
    """Figures of all learners and of the response model, on users that trained none of them.

    Attributes:
        experiment: the declaration.
        evidence: arm -> the gate's word; empty for a model that was loaded without it.
        tables: rows of the tables that a run publishes (``metrics``, ``policy_value``, ``qini_curve``,
            ``deciles``, ``comparisons``, ``calibration``, ``bands``), with each row's arm and outcome.
    """

    experiment: Experiment
    evidence: Mapping[str, Evidence]
    tables: Mapping[str, Rows]

    def table(self, name: str = "summary") -> Rows:
        """Return a table's rows, for a table of any library; ``summary`` has a row of each learner.

        Raises:
            DataError: there is no such table.
        """
        if name == "summary":
            return summary_rows(self.tables, self.experiment.defaults)
        if name not in self.tables:
            raise DataError(f"table: '{name}' must be one of {['summary', *self.tables]}")
        return self.tables[name]

    def plot(self, name: str, arm: str | None = None, learner: str | None = None) -> alt.TopLevelMixin:
        """Draw a plot of one arm and learner beside the response model, by Altair.

        Args:
            name: ``qini``, ``deciles``, ``policy_value`` or ``calibration``.
            arm: by default the only arm, or the first one.
            learner: by default the one that decides.

        Raises:
            DataError: there is no such plot.
        """
        from uplift_core import plots  # noqa: PLC0415 - Altair is an extra

        experiment = self.experiment
        arm = arm_named(experiment, arm)
        decides = self.evidence[arm].champion if arm in self.evidence else "stack"
        learner, outcome = learner or decides, experiment.defaults.outcome
        budget = experiment.defaults.budget

        def rows(table: str) -> Rows:
            return [row for row in self.tables[table] if row["arm"] == arm]

        bands = [row for row in rows("bands") if row["learner"] == learner]
        if name == "qini":
            return plots.qini_plot(rows("qini_curve"), learner, outcome, budget, bands)
        if name == "policy_value":
            return plots.policy_plot(rows("policy_value"), learner, outcome, budget, bands)
        if name == "calibration":
            return plots.calibration_plot(rows("calibration"), learner, outcome)
        if name == "deciles":
            clustered = bool(experiment.cluster)
            return plots.decile_plot(rows("deciles"), learner, outcome, clustered=clustered)
        raise DataError(
            f"plot: '{name}' must be one of ['qini', 'deciles', 'policy_value', 'calibration']"
        )

    def __str__(self) -> str:
        defaults = self.experiment.defaults
        n = max((row["n"] for row in self.tables["metrics"]), default=0)
        head = (
            f"Mean '{defaults.outcome}' per user if the best {defaults.budget:.0%} are treated, on up "
            f"to {n:,} held-out users of an arm and the control. ± is one standard error."
        )
        columns = ("arm", "learner", "value", "random", "gain over random", "Qini", "AUTOC")
        rows = [columns, *(_cells(row) for row in self.table())]
        widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        words = [f"{arm}: {found.word}. {found.reason}" for arm, found in self.evidence.items()]
        return "\n".join([head, "", *lines, "", *words])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    def figure(name: str, error: str, sign: str = "") -> str:
        return "" if row[name] is None else f"{row[name]:{sign}.5f} ± {row[error]:.5f}"

    return (
        row["arm"],
        NAMES[row["learner"]],
        figure("value", "std_error"),
        f"{row['random_value']:.5f}",
        figure("gain_over_random", "gain_std_error", "+"),
        figure("qini_auc", "qini_auc_std_error"),
        figure("autoc", "autoc_std_error"),
    )
