"""Declare the experiment of a table in memory, as ``experiment.toml`` declares that of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.messages import readable
from uplift_core.experiment.naming import slug
from uplift_core.library.frames import complete, refuse, text_of, units
from uplift_core.library.prices import Cost, Value, declared_costs, declared_values

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ARMS = 30
Shares = Mapping[Any, Any]
NO_DESIGN = (
    "shares: give the share of users that each arm got by design, such as shares={'control': 0.5, "
    "'mail': 0.5}; or propensity=, each user's chance of the treatment; or strata=, the columns within "
    "which arms were drawn. shares='counted' takes the shares that the table has, which is no design"
)


@dataclass(frozen=True)
class Design:
    """What the caller says of an experiment; see ``fit``."""

    arm: str
    control: Any
    outcomes: tuple[str, ...]
    shares: Shares | Literal["counted"] | None
    propensity: str | float | None
    strata: str | Sequence[str] | None
    cluster: str | None
    id: str | None
    cost: Cost | None = None
    value: Value | None = None

    @property
    def strata_columns(self) -> tuple[str, ...]:
        """The columns of the strata."""
        return (self.strata,) if isinstance(self.strata, str) else tuple(self.strata or ())

    @property
    def varies(self) -> bool:
        """Whether the chance of the treatment differs between users."""
        return bool(self.strata_columns) or isinstance(self.propensity, str)

    @property
    def columns(self) -> list[str]:
        """All columns but the features."""
        of_chance = [self.propensity] if isinstance(self.propensity, str) else []
        others = [name for name in (self.cluster, self.id) if name is not None]
        return [self.arm, *self.outcomes, *self.strata_columns, *of_chance, *others]


def declare(table: pa.Table, design: Design, *, name: str, budget: float, **settings: Any) -> Experiment:
    """Return the declaration of the experiment that a table holds.

    Args:
        table: one row per user.
        design: what the caller says.
        name: name of the experiment.
        budget: share of users at which learners are compared.
        settings: further keys of the declaration.

    Raises:
        DataError: an arm, a share or a column does not fit.
    """
    counts = _counts(table, design)
    control = text_of(design.control)
    if control not in counts:
        raise DataError(
            f"control: '{control}' is no value of the column '{design.arm}'; it holds {sorted(counts)}"
        )
    shares = _shares(design, counts, control)
    names = _names([*counts], "arm")
    strata, propensity = design.strata_columns, design.propensity
    costs = declared_costs(design.cost, [value for value in counts if value != control])
    values = declared_values(design.value, design.outcomes)
    called = _names(design.outcomes, "outcome")
    outcomes = [
        _outcome(table, column) | {"name": called[column], "value": values.get(column)}
        for column in design.outcomes
    ]
    first = next((names[value] for value in counts if value != control), "")
    declared: dict[str, Any] = {
        "name": name,
        "title": name,
        "description": "Fitted by the library on a table in memory.",
        "user_id": design.id or "row_number",
        "control": names[control],
        "arm_column": design.arm,
        "arms": [
            {"name": names[v], "value": v, "share": shares[v], "cost": costs.get(v, 0.0)} for v in counts
        ],
        "outcomes": outcomes,
        "defaults": {"arm": first, "outcome": outcomes[0]["name"], "budget": budget},
        "decisions": {
            "cost_column": design.cost if isinstance(design.cost, str) else None,
            "value_column": design.value if isinstance(design.value, str) else None,
        },
        "source": {"kind": "own_file", "path": Path("frame")},
        "cluster": design.cluster or "",
        "strata": strata,
        "propensity_column": propensity if isinstance(propensity, str) else "",
        "propensities": "estimate" if design.shares == "counted" else "design",
    }
    if strata:
        declared |= _strata(design, names)
    try:
        experiment = Experiment.model_validate(declared | settings)
    except ValidationError as error:
        raise DataError(readable(error, Experiment)) from error
    chances = chances_of(table, experiment)
    if chances is None:
        return experiment
    e = float(chances.mean())
    (treated,) = experiment.treatments
    arms = [a.model_copy(update={"share": e if a.name == treated else 1 - e}) for a in experiment.arms]
    return experiment.model_copy(update={"arms": tuple(arms)})


def arm_named(experiment: Experiment, arm: object = None) -> str:
    """Return the name of a treatment, given by its name or its value in the table; None: the first.

    Raises:
        ExperimentError: there is no such treatment.
    """
    if arm is None:
        return experiment.defaults.arm
    by_value = {text_of(declared.value): declared.name for declared in experiment.arms}
    return experiment.contrast(by_value.get(text_of(arm), text_of(arm))).arm


def _counts(table: pa.Table, design: Design) -> dict[str, int]:
    """Count the users of each arm, in the order of the arms' texts."""
    values, counts = np.unique(arms_of(table, design.arm).astype(str), return_counts=True)
    if len(values) > MOST_ARMS:
        raise DataError(
            f"{design.arm}: has {len(values)} different values; an arm's column has {MOST_ARMS} at most"
        )
    return {str(value): int(n) for value, n in zip(values, counts, strict=True)}


def arms_of(table: pa.Table, column: str) -> Any:
    """Return each user's arm as a text; a whole number is written as one: (n,)."""
    return np.asarray([text_of(value) for value in units(table, column)], dtype=object)


def _names(values: Sequence[str], fallback: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for value in values:
        name, number = slug(value, fallback), 2
        while name in names.values():
            name, number = f"{slug(value, fallback)}_{number}", number + 1
        names[value] = name
    return names


def _shares(design: Design, counts: Mapping[str, int], control: str) -> Mapping[str, Any]:
    """Return the arms' shares; counted ones where chances differ between users, see ``declare``."""
    given, propensity = design.shares, design.propensity
    counted = {arm: n / sum(counts.values()) for arm, n in counts.items()}
    if propensity is not None and (given is not None or design.strata_columns):
        raise DataError("propensity and shares or strata both say the chances; give one of them")
    if design.varies or propensity is not None:
        treatments = [arm for arm in counts if arm != control]
        if len(treatments) != 1:
            raise DataError(
                f"{design.arm}: chances per user work for one treatment, and the table has "
                f"{treatments}; leave out users of all treatments but one"
            )
        if isinstance(propensity, (int, float)):
            return {treatments[0]: propensity, control: 1 - propensity}
        return counted
    if isinstance(given, Mapping):
        shares = {text_of(arm): share for arm, share in given.items()}
        if sorted(shares) != sorted(counts):
            raise DataError(
                f"shares: given for {sorted(shares)}, and the column '{design.arm}' holds "
                f"{sorted(counts)}; give each arm a share, and leave out users of other arms"
            )
        return shares
    if given is None:
        raise DataError(NO_DESIGN)
    if given != "counted":
        raise DataError(f"shares: '{given}' is neither shares by arm nor 'counted'")
    return counted


def _strata(design: Design, names: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(design.shares, Mapping):
        return {"strata_shares": "counted"}
    return {
        "stratum": [
            {
                "values": [text_of(v) for v in (key if isinstance(key, tuple) else (key,))],
                "shares": {names.get(text_of(arm), text_of(arm)): share for arm, share in each.items()},
            }
            for key, each in design.shares.items()
        ]
    }


def _outcome(table: pa.Table, column: str) -> dict[str, Any]:
    values = complete(table, column)
    binary = bool(np.isin(values, (0, 1)).all())
    return {"column": column, "kind": "binary" if binary else "continuous"}


def chances_of(table: pa.Table, experiment: Experiment) -> Doubles | None:
    """Return each user's chance of the treatment, (n,), where it differs between users; else None.

    Raises:
        DataError: a user has no chance above 0 and below 1, or is in a stratum without shares.
    """
    if not experiment.propensity_varies:
        return None
    (treated,) = experiment.treatments
    if experiment.propensity_column:
        name = experiment.propensity_column
        chances = complete(table, name)
        wrong = (chances <= 0) | (chances >= 1)
        refuse(name, wrong, "is no chance above 0 and below 1", "leave out users who could get one arm")
        return chances
    columns = [[text_of(value) for value in units(table, column)] for column in experiment.strata]
    strata = list(zip(*columns, strict=True))
    if experiment.strata_shares == "counted":
        value = text_of(experiment.arm(treated).value)
        return _counted(strata, arms_of(table, experiment.arm_column) == value)
    shares = {stratum.texts: stratum.shares[treated] for stratum in experiment.stratum}
    unknown = set(strata) - set(shares)
    if unknown:
        raise DataError(
            f"shares: users are in the stratum {list(min(unknown))} of {list(experiment.strata)}, which "
            "has no shares; add them"
        )
    return np.asarray([shares[stratum] for stratum in strata], dtype=np.float64)


def _counted(strata: Sequence[tuple[str, ...]], treated: npt.NDArray[np.bool_]) -> Doubles:
    """Return the treated share of each user's stratum: (n,)."""
    number = {stratum: i for i, stratum in enumerate(sorted(set(strata)))}
    of_user = np.asarray([number[stratum] for stratum in strata])
    share = np.bincount(of_user, weights=treated) / np.bincount(of_user)
    one_arm = [stratum for stratum, i in number.items() if share[i] in {0.0, 1.0}]
    if one_arm:
        raise DataError(
            f"strata: all users of the stratum {list(one_arm[0])} are in one arm, so it tells no "
            "effect; leave them out, or name coarser strata"
        )
    return np.asarray(share[of_user], dtype=np.float64)
