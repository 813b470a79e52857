"""The declaration of a randomized experiment, read from its ``experiment.toml``.

The other layers know an experiment only through its declaration: its arms, the probability with which
each was assigned *by design*, its outcomes, and the source of its file. Identifiers in SQL come from the
declaration only, and are checked here.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.errors import ExperimentError
from uplift_core.experiment.arrivals import Arrivals
from uplift_core.experiment.decision_rules import Decisions, Unit, guardrail_faults, quota_faults
from uplift_core.experiment.deliveries import Delivery, check_deliveries
from uplift_core.experiment.design import Arm, Contrast, Defaults, Outcome, Split
from uplift_core.experiment.exposure import exposure_faults
from uplift_core.experiment.learning import Learning
from uplift_core.experiment.messages import readable
from uplift_core.experiment.quality_limits import ColumnRule, FeatureRule, QualityLimits
from uplift_core.experiment.retention import Retention
from uplift_core.experiment.sampling import weight_beside_chances, weight_faults
from uplift_core.experiment.sources import (
    Declared,
    FileSource,
    HistoryTable,
    Name,
    OwnFile,
    Population,
    Published,
    SimulationSource,
    TableSource,
    Variant,
    check_histories,
    check_population,
)
from uplift_core.experiment.strata import StrataShares, Stratum, strata_faults

DECLARATION = "experiment.toml"
RAW_SQL = "raw.sql"
FEATURES_SQL = "features.sql"
# Columns of assignment tables; `cluster` only where declared, as `propensity`, `exposure`, `weight`.
RESERVED = frozenset({"user_id", "arm", "split", "fold", "cluster"})


Named = TypeVar("Named", Arm, Outcome)


class Experiment(Declared):
    """A randomized experiment as declared. Unknown keys are refused."""

    name: Name
    title: str
    description: str
    user_id: str  # raw column with the users' id in the file, or "row_number"
    # How a text id becomes the number user_id: md5, or hashed with the home's key, which no list of ids
    # undoes. It never changes once there are lists.
    id_hash: Literal["md5", "keyed"] = Field("md5", exclude_if=lambda way: way == "md5")
    control: Name
    arm_column: str
    arms: tuple[Arm, ...]
    outcomes: tuple[Outcome, ...]
    source: Annotated[FileSource | SimulationSource | OwnFile | TableSource, Field(discriminator="kind")]
    published: Published | None = None
    variants: dict[str, Variant] = Field(default_factory=dict)
    split: Split
    defaults: Defaults
    # Raw column: users of equal value were assigned together, such as a household; empty: each alone.
    # The default is not written to manifests, so that models keep their version.
    cluster: str = Field("", exclude_if=lambda column: not column)
    # Where the chance of the treatment differs between users: the raw columns of the strata, with the
    # arms' shares in each stratum; or the raw column with each user's chance. Empty: the arms' shares
    # hold for all users. Features may read these columns.
    strata: tuple[str, ...] = Field((), exclude_if=lambda columns: not columns)
    strata_shares: StrataShares = Field("declared", exclude_if=lambda shares: shares == "declared")
    stratum: tuple[Stratum, ...] = Field((), exclude_if=lambda strata: not strata)
    propensity_column: str = Field("", exclude_if=lambda column: not column)
    # Raw column: 1 for users whom the treatment reached, such as by an opened e-mail; 0 for others.
    exposure: str = Field("", exclude_if=lambda column: not column)
    # Raw column: how many users of the population each user of the sample stands for.
    weight: str = Field("", exclude_if=lambda column: not column)
    # Columns that no feature may read: known after the treatment, or the simulation's truth.
    not_features: tuple[str, ...] = ()
    learners: LearnerParameters = LearnerParameters()
    decisions: Decisions = Decisions()
    columns: dict[str, ColumnRule] = Field(default_factory=dict)  # of the raw table
    features: dict[str, FeatureRule] = Field(default_factory=dict)
    quality: QualityLimits = QualityLimits()
    # Not written to manifests, so that models keep their version.
    retention: Retention = Field(Retention(), exclude=True)
    # Outcomes that arrive after lists were made. Not written to manifests.
    arrivals: Arrivals | None = Field(None, exclude=True)
    # When models learn from lists, and from which. Not written to manifests.
    learning: Learning | None = Field(None, exclude=True)
    assigned_at: str = ""  # column of the raw file: when the user was assigned to an arm
    # Whether the arms' shares come from the design, or were counted: counted shares have no guarantee.
    propensities: Literal["design", "estimate"] = "design"
    tables: dict[Name, HistoryTable] = Field(default_factory=dict)  # read as raw.<experiment>_<name>
    population: Population | None = None  # read as raw.<experiment>_population
    # Where lists go besides the exports. Not written to manifests, so that models keep their version.
    delivery: tuple[Delivery, ...] = Field((), exclude=True)

    @model_validator(mode="after")
    def _deliveries_have_names(self) -> Self:
        check_deliveries(self.delivery)
        return self

    @model_validator(mode="after")
    def _tables_can_be_joined(self) -> Self:
        check_histories(self.name, self.tables, assigned_at=self.assigned_at, user_id=self.user_id)
        check_population(self.population, self.tables, user_id=self.user_id)
        return self

    @model_validator(mode="after")
    def _cluster_holds_several_users(self) -> Self:
        if self.cluster and self.cluster in {self.user_id, "user_id"}:
            raise ValueError(
                f"cluster = '{self.cluster}' is the users' id, so each cluster has one user; remove it"
            )
        if self.cluster in {self.arm_column, *(outcome.column for outcome in self.outcomes)}:
            raise ValueError(
                f"cluster = '{self.cluster}' is the column of the arm or of an outcome; name the column "
                "of the unit that was assigned as a whole, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _chances_are_known(self) -> Self:
        arms = [arm.name for arm in self.arms]
        faults = list(strata_faults(self.strata, self.strata_shares, self.stratum, arms))
        if self.strata and self.propensity_column:
            faults.append("strata and propensity_column both say the users' chances; remove one of them")
        taken = {self.user_id, "user_id", self.arm_column, *(o.column for o in self.outcomes)}
        faults += [
            f"'{column}' is the column of the id, the arm or an outcome, which says no chance of the "
            "treatment; name another column in strata or propensity_column"
            for column in sorted({*self.strata, self.propensity_column} & taken)
        ]
        if self.propensity_varies and len(self.treatments) > 1:
            faults.append(
                f"strata and propensity_column work for one treatment, and this experiment has "
                f"{list(self.treatments)}; leave out all treatments but one"
            )
        if self.propensity_varies and "propensity" in {o.name for o in self.outcomes}:
            faults.append(
                "an outcome called 'propensity' is reserved beside chances; rename the outcome"
            )
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _exposure_and_weight_are_known(self) -> Self:
        outcomes = {outcome.name: outcome.column for outcome in self.outcomes}
        taken = {self.user_id, "user_id", self.arm_column, self.cluster, *outcomes.values()}
        taken |= {*self.strata, self.propensity_column}
        faults = list(exposure_faults(self.exposure, self.decisions, taken, outcomes, self.treatments))
        taken |= {self.exposure}
        faults += weight_faults(self.weight, taken - {""}, outcomes, self.treatments)
        if self.weight and self.propensity_varies:
            faults.append(weight_beside_chances(self.weight))
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _bags_draw_users(self) -> Self:
        drawn = "cluster" if self.cluster else "weight" if self.weight else ""
        if self.learners.bags and drawn:
            raise ValueError(
                f"learners.bags = {self.learners.bags} draws single users from cells, which know of no "
                f"{drawn}: their standard errors would be too small; leave out bags, or {drawn}"
            )
        return self

    @model_validator(mode="after")
    def _unit_can_be_treated(self) -> Self:
        if self.decisions.unit == "cluster" and not self.cluster:
            raise ValueError(
                "decisions.unit = 'cluster' needs clusters: declare cluster = '<column>', or remove it"
            )
        if self.decision_unit == "cluster" and (self.decisions.usual or self.decisions.explore_near):
            raise ValueError(
                "decisions.usual and explore_near are about single users, and would tear clusters "
                "apart; set unit = 'user', or remove them"
            )
        if self.decision_unit == "cluster" and self.decisions.cut == "threshold":
            raise ValueError(
                "decisions.cut = 'threshold' compares the score of each user, and would tear clusters "
                "apart; set cut = 'size', or unit = 'user'"
            )
        return self

    @model_validator(mode="after")
    def _arrivals_and_guardrails_are_outcomes(self) -> Self:
        kinds = {outcome.name: outcome.kind for outcome in self.outcomes}
        guardrails = self.decisions.guardrails
        arriving = self.arrivals.within_days if self.arrivals else {}
        faults = [
            f"decisions.guardrails: {fault}" for fault in guardrail_faults(guardrails, kinds, arriving)
        ]
        if self.arrivals:
            faults += [f"arrivals: {f}" for f in self.arrivals.faults({*kinds, *guardrails})]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _lists_can_be_learned_from(self) -> Self:
        if self.learning is None:
            return self
        arriving = self.arrivals.within_days if self.arrivals else {}
        missing = [outcome.name for outcome in self.outcomes if outcome.name not in arriving]
        faults = [
            (bool(missing), f"every outcome must arrive, but {missing} are not in arrivals.within_days"),
            (len(self.treatments) > 1, f"it works for one treatment, and there are {self.treatments}"),
            (bool(self.cluster or self.weight), "it takes no clusters and no sampling weights"),
            (bool(self.tables), "features of histories are not kept as they were"),
            (
                self.decisions.explore <= 0,
                "decisions.explore must be above 0, else users have no contrast",
            ),
        ]
        told = [message for wrong, message in faults if wrong]
        if told:
            raise ValueError(f"learning: {'; '.join(told)}; correct this, or remove [learning]")
        return self

    @property
    def arriving_outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes that arrive in files: declared ones, and events of guardrails alone."""
        windows = self.arrivals.within_days if self.arrivals else {}
        declared = {outcome.name: outcome for outcome in self.outcomes}
        return tuple(declared.get(name) or Outcome(name=name, kind="binary") for name in windows)

    @model_validator(mode="after")
    def _quotas_fit_arms(self) -> Self:
        costs = {arm.name: arm.cost for arm in self.arms if arm.name != self.control}
        faults = list(quota_faults(self.decisions.quotas, costs))
        if faults:
            raise ValueError(f"decisions.quotas: {'; '.join(faults)}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        arms = [arm.name for arm in self.arms]
        outcomes = [outcome.name for outcome in self.outcomes]
        binary = {outcome.name for outcome in self.outcomes if outcome.kind == "binary"}
        total = sum(arm.share for arm in self.arms)
        rules = [
            (len(set(arms)) == len(arms), f"arms {arms} repeat a name"),
            (len({str(a.value) for a in self.arms}) == len(arms), "two arms share one value"),
            (len(set(outcomes)) == len(outcomes), f"outcomes {outcomes} repeat a name"),
            (
                not RESERVED & set(outcomes),
                f"outcomes {outcomes}: {sorted(RESERVED)} are reserved; rename the outcome",
            ),
            (self.control in arms, f"control '{self.control}' is none of the arms {arms}"),
            (bool(self.treatments), "an experiment needs the control and at least one other arm"),
            (bool(outcomes), "an experiment needs at least one outcome"),
            (
                self.id_hash == "md5" or bool(self.id_column),
                f"id_hash = '{self.id_hash}' hashes the text ids of a column, which user_id must name",
            ),
            (
                math.isclose(total, 1.0, abs_tol=1e-6),
                f"the arms' shares add up to {total:.6f}; their sum must be 1",
            ),
            (
                self.defaults.arm in arms and self.defaults.arm != self.control,
                f"defaults.arm '{self.defaults.arm}' must be one of the arms other than the control",
            ),
            (
                self.defaults.outcome in outcomes,
                f"defaults.outcome '{self.defaults.outcome}' is none of {outcomes}",
            ),
            (
                all(outcome.implies in {"", *binary} - {outcome.name} for outcome in self.outcomes),
                f"outcomes.implies must name another of the binary outcomes {sorted(binary)}",
            ),
            (
                not (self.has_row_numbers and isinstance(self.source, TableSource)),
                "user_id = 'row_number': a table's rows have no order; name the column of the users' id",
            ),
            (
                self._keeps_contacts,
                "retention.ledger_days must be at least decisions.contact_cap.days; make it larger",
            ),
            (
                not self.quality.outcome_days or bool(self.assigned_at),
                "quality.outcome_days needs assigned_at, the column that says when a user was assigned",
            ),
        ]
        broken = [message for holds, message in rules if not holds]
        if broken:
            raise ValueError("; ".join(broken))
        return self

    @property
    def _keeps_contacts(self) -> bool:
        cap, days = self.decisions.contact_cap, self.retention.ledger_days
        return cap is None or days is None or days >= cap.days

    def as_variant(self, name: str) -> Experiment:
        """Return the experiment with another of its published files."""
        if name not in self.variants:
            known = sorted(self.variants) or "none"
            raise ExperimentError(f"{self.name}: no variant '{name}'; declared are {known}")
        chosen = self.variants[name]
        return self._with(chosen.source, chosen.shares, chosen.published)

    def with_file(self, path: Path, shares: Mapping[str, float]) -> Experiment:
        """Return the experiment with your file and its arms' designed shares."""
        return self._with(OwnFile(kind="own_file", path=path), shares, None)

    def _with(
        self, source: FileSource | OwnFile, shares: Mapping[str, float], published: Published | None
    ) -> Experiment:
        names = [arm.name for arm in self.arms]
        if sorted(shares) != sorted(names):
            raise ExperimentError(
                f"{self.name}: shares are given for {sorted(shares)}, arms are {names}; name each arm"
            )
        data = self.model_dump() | {
            "source": source.model_dump(),
            "retention": self.retention,  # which a dump leaves out
            "arrivals": self.arrivals,  # likewise
            "learning": self.learning,
            "published": published.model_dump() if published else None,
            "arms": [arm.model_dump() | {"share": shares[arm.name]} for arm in self.arms],
        }
        try:
            return Experiment.model_validate(data)
        except ValidationError as error:
            raise ExperimentError(f"{self.name}: {readable(error)}") from error

    @property
    def decision_unit(self) -> Unit:
        """Who is treated as a whole: a declared cluster unless the rules say otherwise, else a user."""
        return self.decisions.unit or ("cluster" if self.cluster else "user")

    def list_salt(self, campaign: str) -> str:
        """Return the salt that draws a campaign's holdout group and explorers."""
        salt = self.split.salt
        return salt if self.decisions.draws == "experiment" else f"{salt}/{campaign}"

    @property
    def propensity_varies(self) -> bool:
        """Whether e, the chance of the treatment, differs between users: by strata or a column."""
        return bool(self.strata or self.propensity_column)

    def with_expected_costs(self, reach: Mapping[str, float]) -> Experiment:
        """Return the experiment with the expected cost of each arm, where cost falls on exposure.

        Args:
            reach: arm -> share of its users whom the treatment reaches; an unknown arm keeps its cost.
        """
        if self.decisions.cost_per == "assigned":
            return self
        arms = tuple(
            arm.model_copy(update={"cost": arm.cost * reach.get(arm.name, 1.0)}) for arm in self.arms
        )
        return self.model_copy(update={"arms": arms})

    @property
    def errors_by_unit(self) -> bool:
        """Whether influences are added up before they are squared: by cluster, or of weighted users."""
        return bool(self.cluster or self.weight)

    @property
    def treatments(self) -> tuple[str, ...]:
        """The arms other than the control, in declared order."""
        return tuple(arm.name for arm in self.arms if arm.name != self.control)

    def contrast(self, arm: str) -> Contrast:
        """Return the contrast of ``arm`` against the control, with its designed propensity.

        Where e differs between users, it is that over all users, as the arms' shares declare it.
        """
        if arm not in self.treatments:
            raise ExperimentError(
                f"{self.name}: '{arm}' is no treatment arm; choose one of {list(self.treatments)}"
            )
        share = {a.name: a.share for a in self.arms}
        return Contrast(
            arm=arm,
            control=self.control,
            propensity=share[arm] / (share[arm] + share[self.control]),
        )

    def arm(self, name: str) -> Arm:
        """Return the arm called ``name``, which may be the control."""
        return self._find("arm", self.arms, name)

    def outcome(self, name: str) -> Outcome:
        """Return the outcome called ``name``."""
        return self._find("outcome", self.outcomes, name)

    def _find(self, what: str, declared: Sequence[Named], name: str) -> Named:
        by_name = {item.name: item for item in declared}
        if name not in by_name:
            raise ExperimentError(f"{self.name}: no {what} '{name}'; choose one of {list(by_name)}")
        return by_name[name]

    @property
    def forbidden_columns(self) -> frozenset[str]:
        """Raw columns that no feature may read: arm, outcomes, exposure, weight, ids, others."""
        outcomes = (outcome.column for outcome in self.outcomes)
        others = {self.id_column, self.cluster, self.exposure, self.weight} - {""}
        return frozenset({self.arm_column, *outcomes, *others, *self.not_features})

    @property
    def id_column(self) -> str:
        """The raw column with the users' id in the file; empty if ``user_id`` itself holds it."""
        return "" if self.user_id in {"user_id", "row_number"} else self.user_id

    @property
    def has_row_numbers(self) -> bool:
        """Whether users are known by their row in the file alone: other experiments don't know them."""
        return self.user_id == "row_number"


def load_experiment(folder: Path) -> Experiment:
    """Read and check ``folder/experiment.toml``.

    Raises:
        ExperimentError: a file is missing, or a key is unknown, missing or wrong.
    """
    path = folder / DECLARATION
    missing = [name for name in (DECLARATION, RAW_SQL, FEATURES_SQL) if not (folder / name).is_file()]
    if missing:
        raise ExperimentError(
            f"{folder.name}: the experiment's folder lacks {', '.join(missing)}; add it"
        )
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
        experiment = Experiment.model_validate(declared)
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(
            f"{folder.name}: {path.name} is no valid TOML: {error}; correct that line"
        ) from error
    except ValidationError as error:
        raise ExperimentError(f"{folder.name}: {readable(error, Experiment)}") from error
    if experiment.name != folder.name:
        raise ExperimentError(f"{folder.name}: name = '{experiment.name}' must equal the folder's name")
    return experiment


def discover(*roots: Path) -> dict[str, tuple[Experiment, Path]]:
    """Load all experiments below the folders ``roots``: name -> (experiment, folder), sorted by name."""
    experiments: dict[str, tuple[Experiment, Path]] = {}
    for root in roots:
        for folder in sorted(p.parent for p in root.glob(f"*/{DECLARATION}")):
            experiment = load_experiment(folder)
            if experiment.name in experiments:
                raise ExperimentError(
                    f"{experiment.name}: declared twice, the second time in {folder}; rename one of them"
                )
            experiments[experiment.name] = (experiment, folder)
    for name, (experiment, _) in experiments.items():
        for table in experiment.tables:
            if f"{name}_{table}" in experiments:
                raise ExperimentError(
                    f"{name}: tables.{table} would be raw.{name}_{table}, another experiment's table; "
                    "rename the table"
                )
        if f"{name}_population" in experiments:
            raise ExperimentError(
                f"{name}_population: the tables of this name belong to {name}'s population; rename the "
                "experiment, and its folder"
            )
    return dict(sorted(experiments.items()))
