"""What held-out users say of a fitted model: tables, plots, and the gate's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uplift_core.errors import DataError
from uplift_core.evaluation.gate import EvidenceStatus, Verdict
from uplift_core.evaluation.profit import Prices, profit_of_rows
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

    The first outcome is the one that learners learned; the others show what its lists do to them.
    """

    experiment: Experiment
    evidence: Mapping[str, Evidence]
    tables: Mapping[str, Rows]

    def table(self, name: str = "summary", outcome: str | None = None) -> Rows:
        """Return a table's rows, for a table of any library.

        Args:
            name: ``summary``, with a row of each learner; one of ``tables``; or ``profit``, in money per
                user by budget: the value of what a list adds, less its cost. ``behind`` is how much less
                it is than at the best budget.
            outcome: one outcome; by default the learned one in ``summary``, and else all.

        Raises:
            DataError: there is no such table or outcome; for ``profit``, no value was given to ``fit``.
        """
        known = [*dict.fromkeys(row["outcome"] for row in self.tables["metrics"])]
        if outcome is not None and outcome not in known:
            raise DataError(f"outcome: '{outcome}' must be one of {known}")
        if name == "summary":
            defaults = self.experiment.defaults
            return summary_rows(
                self.tables, defaults.model_copy(update={"outcome": outcome or defaults.outcome})
            )
        if name not in self.tables and name != "profit":
            raise DataError(f"table: '{name}' must be one of {['summary', *self.tables, 'profit']}")
        rows = profit_rows(self.tables, self.experiment) if name == "profit" else self.tables[name]
        if not rows and name == "profit":
            raise DataError(
                "profit: needs value=, the value of one unit of an outcome, as a number, and cost= that "
                "is no column"
            )
        return [row for row in rows if outcome in {None, row["outcome"]}]

    def plot(
        self,
        name: str,
        arm: str | None = None,
        learner: str | None = None,
        outcome: str | None = None,
    ) -> alt.TopLevelMixin:
        """Draw a plot of one arm and learner beside the response model, by Altair.

        Args:
            name: ``qini``, ``deciles``, ``policy_value`` or ``calibration``.
            arm: by default the only arm, or the first one.
            learner: by default the one that decides.
            outcome: by default the one that learners learned.

        Raises:
            DataError: there is no such plot or outcome.
        """
        from uplift_core import plots  # noqa: PLC0415 - Altair is an extra

        experiment = self.experiment
        arm = arm_named(experiment, arm)
        learner, outcome = learner or self._decides(arm), outcome or experiment.defaults.outcome
        budget = experiment.defaults.budget

        def rows(table: str) -> Rows:
            return [row for row in self.table(table, outcome) if row["arm"] == arm]

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

    def _decides(self, arm: str) -> str:
        return self.evidence[arm].champion if arm in self.evidence else "stack"

    def __str__(self) -> str:
        defaults = self.experiment.defaults
        n = max((row["n"] for row in self.tables["metrics"]), default=0)
        head = (
            f"Mean '{defaults.outcome}' per user if the best {defaults.budget:.0%} are treated, on up "
            f"to {n:,} held-out users of an arm and the control. ± is one standard error."
        )
        columns = ("arm", "learner", "value", "random", "gain over random", "Qini", "AUTOC")
        summary = _aligned([columns, *(_cells(row) for row in self.table())])
        words = [f"{arm}: {found.word}. {found.reason}" for arm, found in self.evidence.items()]
        return "\n".join([head, "", *summary, *self._others(), *self._profits(), "", *words])

    def _others(self) -> list[str]:
        """Show what the lists of the learners that decide do to the other outcomes."""
        learned = self.experiment.defaults.outcome
        others = [o.name for o in self.experiment.outcomes if o.name != learned]
        rows = [
            (row["arm"], outcome, *_cells(row)[2:5])
            for outcome in others
            for row in self.table("summary", outcome)
            if row["learner"] == self._decides(row["arm"])
        ]
        if not rows:
            return []
        head = f"The same lists, ranked by the effect on '{learned}':"
        columns = ("arm", "outcome", "value", "random", "gain over random")
        return ["", head, "", *_aligned([columns, *rows])]

    def _profits(self) -> list[str]:
        """Show the best budget of each arm, where a value is known."""
        best = [
            row
            for row in profit_rows(self.tables, self.experiment)
            if not row["behind"] and row["learner"] == self._decides(row["arm"])
        ]
        lines = [
            f"{row['arm']}: the most profit by '{row['outcome']}' is at a budget of "
            f"{row['budget']:.0%}: {row['profit']:.5g} ± {row['std_error']:.2g} in money per user."
            for row in best
        ]
        return ["", *lines] if lines else []


def profit_rows(tables: Mapping[str, Rows], experiment: Experiment) -> Rows:
    """Return the profit of each arm, outcome that has a value, and ranking, by budget.

    There are none where users have costs or values of their own: budgets are shares of users here.
    """
    if experiment.decisions.cost_column or experiment.decisions.value_column:
        return []
    grouped: dict[tuple[str, str, str], Rows] = {}
    for row in tables["policy_value"]:
        if row.get("net_value") is not None:
            grouped.setdefault((row["arm"], row["outcome"], row["learner"]), []).append(row)
    profits: Rows = []
    for (arm, outcome, learner), rows in grouped.items():
        value = experiment.outcome(outcome).value or 0.0
        net = profit_of_rows(rows, Prices(value, experiment.arm(arm).cost))
        columns = {
            "profit": net.value,
            "std_error": net.std_error,
            "behind": net.behind,
            "behind_std_error": net.behind_std_error,
        }
        profits += [
            {"arm": arm, "outcome": outcome, "learner": learner, "budget": row["budget"]}
            | {name: float(column[i]) for name, column in columns.items()}
            for i, row in enumerate(rows)
        ]
    return profits


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a table's lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths) for row in rows]


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
