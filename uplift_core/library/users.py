"""The users of an experiment in memory, with the split and the folds that a run would give them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles, Floats
from uplift_core.cells import BinEdges, BinnedUsers, UserRows
from uplift_core.diagnostics.sample_ratio import sample_ratio
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.design import Outcome
from uplift_core.experiment.splits import folds_of, hashes, held_out
from uplift_core.experiment.user_ids import number_of_text
from uplift_core.library.design import arms_of, chances_of
from uplift_core.library.encoding import Encoding
from uplift_core.library.frames import complete, refuse, text_of, units

if TYPE_CHECKING:
    import pyarrow as pa

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Users:
    """The users of a table, one entry each.

    Attributes:
        x: (n, n_features) float32 features.
        arm: (n,) number of the arm among the experiment's arms.
        y: (n,) the outcome that learners learn.
        holdout: (n,) whether the split holds the user out.
        fold: (n,) cross-fitting fold, from 0.
        cluster: (n,) number of the user's cluster; None if users are independent.
        chances: (n,) each user's chance of the treatment, where it differs between users; else None.
        others: name of each other outcome of the experiment that the table has -> (n,) outcomes.
    """

    x: Floats
    arm: npt.NDArray[np.int8]
    y: Doubles
    holdout: Flags
    fold: npt.NDArray[np.int8]
    cluster: npt.NDArray[np.int64] | None
    chances: Doubles | None
    others: Mapping[str, Doubles] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table, experiment: Experiment, encoding: Encoding) -> Self:
        """Read the users of a table.

        Raises:
            DataError: a value is missing or wrong; names the column, the row and the remedy.
        """
        names = [text_of(arm.value) for arm in experiment.arms]
        values = arms_of(table, experiment.arm_column)
        refuse(
            experiment.arm_column,
            ~np.isin(values.astype(str), names),
            f"is none of the arms {names}",
            "leave out users of other arms",
        )
        learned = experiment.defaults.outcome
        outcomes = {
            outcome.name: _outcome_of(table, outcome)
            for outcome in experiment.outcomes
            if outcome.name == learned or outcome.column in table.column_names
        }
        cluster = units(table, experiment.cluster) if experiment.cluster else None
        drawn = ids_of(table, experiment) if cluster is None else cluster
        of_units = hashes(experiment.split.salt, drawn)
        return cls(
            x=encoding.encode(table),
            arm=np.asarray([names.index(value) for value in values], dtype=np.int8),
            y=outcomes.pop(learned),
            holdout=held_out(of_units, experiment.split.holdout),
            fold=folds_of(of_units, experiment.split.folds),
            cluster=None if cluster is None else np.unique(cluster.astype(str), return_inverse=True)[1],
            chances=chances_of(table, experiment),
            others=outcomes,
        )

    def at(self, rows: Flags) -> Users:
        """Select users."""
        columns = {name: column[rows] for name, column in self._columns().items()}
        return replace(self, **columns, others={k: v[rows] for k, v in self.others.items()})

    def contrast(
        self, experiment: Experiment, arm: str, edges: BinEdges, outcome: str | None = None
    ) -> BinnedUsers:
        """Select the users of one arm and the control with one outcome, and bin their features.

        ``outcome`` is one of ``others``; by default the one that learners learn.
        """
        names = [declared.name for declared in experiment.arms]
        treated, control = names.index(arm), names.index(experiment.control)
        users = self.at(np.isin(self.arm, (treated, control)))
        rows = UserRows(
            x=users.x,
            w=users.arm == treated,
            y=users.others[outcome] if outcome else users.y,
            fold=users.fold,
            propensity=experiment.contrast(arm).propensity,
            binary=experiment.outcome(outcome or experiment.defaults.outcome).kind == "binary",
            propensities=users.chances,
        )
        return replace(BinnedUsers.of(edges, rows), cluster=users.cluster)

    def refuse_other_shares(self, experiment: Experiment) -> None:
        """Refuse arms whose sizes differ from their designed shares beyond chance, as a run does.

        Raises:
            DataError: names the arm, both shares and what to find out.
        """
        if experiment.propensity_varies:
            return
        arm = self.arm
        if self.cluster is not None:
            pairs = np.unique(np.column_stack([self.cluster, arm]), axis=0)
            if len(pairs) == len(np.unique(self.cluster)):  # each cluster lies in one arm
                arm = pairs[:, 1]
        shares = {a.name: a.share for a in experiment.arms}
        counts = dict(zip(shares, np.bincount(arm, minlength=len(shares)).tolist(), strict=True))
        ratio = sample_ratio(counts, shares)
        if ratio.mismatch(experiment.decisions.gates.sample_ratio):
            share = counts[ratio.arm] / sum(counts.values())
            raise DataError(
                f"{experiment.arm_column}: '{ratio.arm}' has {share:.4f} of the users where "
                f"{shares[ratio.arm]:.4f} were designed (chi-square p = {ratio.p_value:.2g}); users "
                "were lost or the share is wrong: find out which before you learn from the data"
            )

    @property
    def sha256(self) -> str:
        """The hash of all users' features, arms, learned outcomes and draws."""
        digest = hashlib.sha256()
        for column in self._columns().values():
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        return {k: v for k, v in columns.items() if isinstance(v, np.ndarray)}


def _outcome_of(table: pa.Table, outcome: Outcome) -> Doubles:
    y = complete(table, outcome.column)
    if outcome.kind == "binary" and not np.isin(y, (0, 1)).all():
        raise DataError(f"{outcome.column}: must be {outcome.must_be}, as it was in training")
    return y


def ids_of(table: pa.Table, experiment: Experiment) -> Sequence[Any]:
    """Return each user's ``user_id`` as a run numbers it.

    It is the row's number from 1, or the id if it is a whole number, or 63 bits of the md5 of its text.

    Raises:
        DataError: an id is missing, or occurs twice.
    """
    column = experiment.user_id
    if experiment.has_row_numbers:
        return range(1, table.num_rows + 1)
    values = units(table, column)
    if len(set(values)) < len(values):
        raise DataError(f"{column}: two users have the same id; give each user one row")
    whole = str(table.column(column).type).removeprefix("u").startswith("int")
    return [int(value) if whole else number_of_text(value) for value in values]


def columns_of(experiment: Experiment, encoding: Encoding) -> list[str]:
    """Return the columns of a table of users with arm and learned outcome."""
    ids = "" if experiment.has_row_numbers else experiment.user_id
    others = [*experiment.strata, experiment.propensity_column, experiment.cluster, ids]
    outcome = experiment.outcome(experiment.defaults.outcome).column
    return [*encoding.names, experiment.arm_column, outcome, *filter(None, others)]


def other_outcomes(experiment: Experiment) -> list[str]:
    """Return the columns of the outcomes that are evaluated, and not learned."""
    learned = experiment.defaults.outcome
    return [outcome.column for outcome in experiment.outcomes if outcome.name != learned]
