"""Guess the role of each column of a file from its name and values. Each guess has a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from dagster_project.onboarding.profile import Column
from dagster_project.onboarding.vocabulary import (
    AFTER,
    ARMS,
    ASSIGNED,
    CONTROL,
    MAX_ARMS,
    NO,
    NOT,
    OUTCOMES,
    PAST,
    USERS,
    YES,
)
from uplift_core.errors import ExperimentError
from uplift_core.experiment.naming import split_name
from uplift_core.experiment.sources import TableSource


@dataclass(frozen=True)
class Options:
    """The caller's choices, which replace guesses."""

    id: str = ""
    arm: str = ""
    control: str = ""
    outcomes: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    yes: tuple[str, ...] = ()
    shares: str = ""
    missing_is_zero: bool = False
    cluster: str = ""
    strata: tuple[str, ...] = ()
    propensity: str = ""
    exposure: str = ""
    weight: str = ""
    force: bool = False  # replace an earlier draft
    table: TableSource | None = None  # where the file came from, if it is a copy of a table


@dataclass(frozen=True)
class OutcomeGuess:
    """An outcome.

    Attributes:
        column: its column.
        kind: what its values are.
        yes: the text that means 1, if its values are words.
        gap_is_no: true if a missing value means 0, as the only value means 1.
    """

    column: Column
    kind: Literal["binary", "count", "continuous"]
    yes: str = ""
    gap_is_no: bool = False


@dataclass(frozen=True)
class Guess:
    """The role of each column.

    Attributes:
        id: the users' id; None: the row number is the id.
        arm: the column of the assigned arm.
        control: the arm column's value that means no treatment.
        outcomes: the outcomes.
        assigned_at: the time of assignment, if there is such a column.
        after: columns from after the treatment.
        features: all other columns.
        cluster: the column of the unit that was assigned as a whole; None: each user was assigned alone.
        reasons: for each guess: the role, the guess, the reason.
        exposure: the column that says whom the treatment reached, as a binary outcome; None: no such.
        weight: the column of the sampling weights; None: each user stands for one.
    """

    id: Column | None
    arm: Column
    control: str
    outcomes: tuple[OutcomeGuess, ...]
    assigned_at: Column | None
    after: tuple[Column, ...]
    features: tuple[Column, ...]
    reasons: tuple[tuple[str, str, str], ...] = field(default=())
    cluster: Column | None = None
    exposure: OutcomeGuess | None = None
    weight: Column | None = None


def guess(columns: Sequence[Column], options: Options) -> Guess:
    """Find the parts of a randomized experiment among ``columns``.

    Raises:
        ExperimentError: a part is missing or cannot be guessed; names the option that sets it.
    """
    by_name = {column.name: column for column in columns}
    for option, name in _named(options):
        if name not in by_name:
            raise ExperimentError(
                f"{option} '{name}' is no column of the file; choose one of {', '.join(by_name)}"
            )
    after = tuple(column for column in columns if _comes_after(column.name, options))
    weight = _weight(by_name, options)
    left = [column for column in columns if column not in after and column is not weight]
    id_, why_id = _id(left, options)
    arm, why_arm = _arm([c for c in left if c is not id_], options)
    control, why_control = _control(arm, options)
    left = [c for c in left if c is not id_ and c.name != arm.name]
    moment = next((c for c in left if c.is_time and "_".join(split_name(c.name)) in ASSIGNED), None)
    outcomes = _outcomes([c for c in left if c is not moment and c.name != options.exposure], options)
    outcome_columns = [outcome.column for outcome in outcomes]
    reasons = [
        ("user id", id_.name if id_ else "row number", why_id),
        ("arm", arm.name, why_arm),
        ("control", control, why_control),
        *(("outcome", o.column.name, _why_outcome(o, options)) for o in outcomes),
        *([("weight", weight.name, "as you said")] if weight else []),
        *([("assigned at", moment.name, "a moment of that name")] if moment else []),
        *(("left out", c.name, _why_after(c, options)) for c in after),
    ]
    features = tuple(c for c in left if c not in outcome_columns and c is not moment)
    guessed = Guess(id_, arm, control, outcomes, moment, after, features, tuple(reasons))
    return replace(guessed, weight=weight)


def _weight(by_name: Mapping[str, Column], options: Options) -> Column | None:
    """Return the column of the sampling weights.

    Raises:
        ExperimentError: it is no number of 0 or more for each user.
    """
    if not options.weight:
        return None
    column = by_name[options.weight]
    if not column.is_number or column.missing or column.low is None or column.low < 0:
        raise ExperimentError(
            f"--weight {column.name}: must be a number of 0 or more for each user, how many users of "
            f"the population each stands for; it is {column.type} from {column.low} with "
            f"{column.missing:,} gaps: correct the file, or leave the weight out"
        )
    return column


def id_column(names: Sequence[str], options: Options) -> str:
    """Return the column that is guessed to be the users' id; empty: none, use the row number."""
    if options.id == "row_number":
        return ""
    left = [name for name in names if not _comes_after(name, options)]
    called = [name for name in left if USERS.match("_".join(split_name(name)))]
    return options.id if options.id in left else next(iter(called), "")


def _comes_after(name: str, options: Options) -> bool:
    return name in options.ignore or bool(_words(name) & AFTER and name not in options.outcomes)


def _named(options: Options) -> list[tuple[str, str]]:
    named = [("--id", options.id), ("--arm", options.arm)]
    named += [("--cluster", options.cluster if options.cluster != "none" else "")]
    named += [("--weight", options.weight), ("--exposure", options.exposure)]
    named += [("--propensity", options.propensity)]
    named += [("--strata", name) for name in options.strata]
    named += [("--outcome", name) for name in options.outcomes]
    named += [("--ignore", name) for name in options.ignore]
    return [(option, name) for option, name in named if name and name != "row_number"]


def _words(name: str) -> frozenset[str]:
    return frozenset(split_name(name))


def _id(columns: Sequence[Column], options: Options) -> tuple[Column | None, str]:
    if options.id == "row_number":
        return None, "as you said"
    name = id_column([column.name for column in columns], options)
    if not name:
        unique = [c for c in columns if c.type == "VARCHAR" and c.is_unique]
        hint = f"; '{unique[0].name}' differs for every user: pass --id if that is it" if unique else ""
        return None, f"no column is called like an id{hint}"
    column = next(column for column in columns if column.name == name)
    if column.missing or not column.is_unique:
        raise ExperimentError(
            f"column '{column.name}' looks like the user's id but has {column.distinct:,} values and "
            f"{column.missing:,} gaps in {column.rows:,} rows; one row must be one user: aggregate the "
            "rows, or pass --id with another column or with row_number"
        )
    if not ((column.is_number and column.whole) or column.type == "VARCHAR"):
        raise ExperimentError(f"--id {column.name}: {column.type} is no id; pass --id row_number")
    return column, "as you said" if options.id else "called like an id, differs in every row"


def _arm(columns: Sequence[Column], options: Options) -> tuple[Column, str]:
    if options.arm:
        column, why = next(c for c in columns if c.name == options.arm), "as you said"
    else:
        named = [c for c in columns if "_".join(split_name(c.name)) in ARMS]
        plausible = [c for c in named if c.distinct <= MAX_ARMS] or named
        ranked = sorted(plausible, key=lambda c: ARMS.index("_".join(split_name(c.name))))
        words = [
            c for c in columns if c.type == "VARCHAR" and any(CONTROL.match(value) for value in c.values)
        ]
        # A name such as 'group' says less than a value such as 'control'.
        both = [c for c in ranked if c in words]
        candidates = both or ranked or words
        if not candidates:
            few = ", ".join(f"'{c.name}'" for c in columns if 1 < c.distinct <= MAX_ARMS) or "none"
            raise ExperimentError(
                "no column looks like the arm of a randomized experiment; name it with --arm. Columns "
                f"of few values: {few}. Data without random assignment is out of scope: its effects "
                "cannot be separated from the reasons for which users were chosen"
            )
        column = candidates[0]
        why = "called like an arm" if column in named else "has a value that means no treatment"
    if column.missing:
        raise ExperimentError(
            f"column '{column.name}' has no value in {column.missing:,} rows; each user needs an arm: "
            "drop those rows or fill them in, if a gap means the control"
        )
    if column.distinct == 1:
        raise ExperimentError(
            f"column '{column.name}' holds one arm only, '{column.values[0]}'; an experiment needs a "
            "control: add its users, or name another column with --arm"
        )
    if column.distinct > MAX_ARMS:
        raise ExperimentError(
            f"column '{column.name}' holds {column.distinct:,} different values, more than {MAX_ARMS} "
            "arms; name another column with --arm"
        )
    folded = _fold(column)
    if folded is not column:
        why += f"; {column.distinct} spellings became {folded.distinct} arms: " + ", ".join(
            f"{arm} ({', '.join(repr(v) for v in column.values if _folded(v) == arm)})"
            for arm in folded.values
        )
    return folded, why


def _folded(label: str) -> str:
    return label.strip(" ").lower()


def _fold(column: Column) -> Column:
    """Return the column with labels that differ by case or blanks at the ends as one label."""
    counts: dict[str, int] = {}
    for label, count in column.levels:
        counts[_folded(label)] = counts.get(_folded(label), 0) + count
    if column.type != "VARCHAR" or len(counts) == column.distinct:
        return column
    levels = sorted(counts.items(), key=lambda level: (-level[1], level[0]))
    return replace(column, folded=True, distinct=len(levels), levels=tuple(levels))


def _control(arm: Column, options: Options) -> tuple[str, str]:
    if options.control:
        meant = [value for value in arm.values if _same_label(value, options.control, arm)]
        if not meant:
            raise ExperimentError(
                f"--control '{options.control}' is no value of '{arm.name}'; choose one of "
                f"{', '.join(arm.values)}"
            )
        return meant[0], "as you said"
    controls = [value for value in arm.values if CONTROL.match(value)]
    if len(controls) == 1:
        return controls[0], "means no treatment"
    if sorted(value.lower() for value in arm.values) == ["a", "b"]:
        return min(arm.values), "the first of A and B; pass --control if it is the other"
    raise ExperimentError(
        f"which value of '{arm.name}' is the control? Pass --control with one of {', '.join(arm.values)}"
    )


def _same_label(value: str, written: str, arm: Column) -> bool:
    """Return true if what somebody writes means this value: ``0`` and ``0.0`` are one number."""
    if arm.is_number:
        try:
            return float(value) == float(written)
        except ValueError:
            return False
    return value == (_folded(written) if arm.folded else written)


def _outcomes(columns: Sequence[Column], options: Options) -> tuple[OutcomeGuess, ...]:
    if options.outcomes:
        chosen = [c for name in options.outcomes for c in columns if c.name == name]
        if len(chosen) != len(options.outcomes):
            taken = sorted(set(options.outcomes) - {c.name for c in chosen})
            raise ExperimentError(f"--outcome {taken[0]}: is the id, the arm or ignored already")
    else:
        chosen = [c for c in columns if _words(c.name) & OUTCOMES and not _words(c.name) & PAST]
    guessed = [(column, as_outcome(column, options.yes)) for column in chosen]
    outcomes = tuple(outcome for _, outcome in guessed if outcome)
    for column, outcome in guessed:
        if outcome is None and column.type == "VARCHAR" and column.distinct == 2:  # noqa: PLR2004
            first, second = column.values
            raise ExperimentError(
                f"column '{column.name}' is called like an outcome and holds the texts '{first}' and "
                f"'{second}'; pass --yes with the one that means that it happened, or leave the column "
                f"out with --ignore {column.name}"
            )
    if options.outcomes and len(outcomes) < len(chosen):
        odd = next(c for c, o in guessed if o is None)
        raise ExperimentError(
            f"--outcome {odd.name}: {odd.type} with {odd.distinct} values is no outcome; it must be a "
            "number with several values, true and false, or two words such as yes and no"
        )
    if not outcomes:
        raise ExperimentError(
            "no column looks like an outcome; name it with --outcome (several times for several)"
        )
    return outcomes


def as_outcome(column: Column, yes: Sequence[str]) -> OutcomeGuess | None:
    """Return what a column is as an outcome; None if it is none, for example because nothing varies."""
    happened = _happened(column, yes)
    if column.distinct <= 1:
        text = happened if column.type == "VARCHAR" else ""
        one_value = happened and column.missing
        return OutcomeGuess(column, "binary", text, gap_is_no=True) if one_value else None
    if column.type == "BOOLEAN":
        return OutcomeGuess(column, "binary")
    if column.type == "VARCHAR":
        return OutcomeGuess(column, "binary", happened) if happened else None
    if not column.is_number or column.low is None:
        return None
    if column.whole and column.low >= 0:
        return OutcomeGuess(column, "binary" if column.high == 1 else "count")
    return OutcomeGuess(column, "continuous")


def _happened(column: Column, yes: Sequence[str]) -> str:
    """Return the value that means 1 of a column with two values, or with one value and gaps; else ''."""
    values = [value for value, _ in column.levels]
    if not 1 <= len(values) <= 2:  # noqa: PLR2004 - yes and no
        return ""
    said = [value for value in values if value in yes]
    words = [value for value in values if value.strip().lower().removesuffix(".0") in YES]
    others = [value for value in values if value not in words]
    if len(said) == 1:
        return said[0]
    if len(words) == 1 and all(value.strip().lower() in NO for value in others):
        return words[0]
    plain = [value for value in values if not NOT.match(value.strip())]
    negated = [NOT.sub("", value.strip()).lower() for value in values if value not in plain]
    if negated and [value.strip().lower() for value in plain] == negated:
        return plain[0]
    return ""


def _why_outcome(outcome: OutcomeGuess, options: Options) -> str:
    named = "as you said" if options.outcomes else "called like an outcome"
    if outcome.gap_is_no:
        return f"{named}; '{outcome.column.values[0]}' or no value, so binary: no value is 0"
    if outcome.yes:
        return f"{named}; two words, so binary: '{outcome.yes}' is 1 (--yes sets it)"
    what = {"binary": "two values", "count": "whole numbers from 0", "continuous": "numbers"}
    return f"{named}; {what[outcome.kind]}, so {outcome.kind}"


def _why_after(column: Column, options: Options) -> str:
    return "as you said" if column.name in options.ignore else "sounds as if it came after the treatment"
