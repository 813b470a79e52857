"""Find the column that says whom the treatment reached, such as an opened e-mail."""

from __future__ import annotations

from dataclasses import replace

from dagster_project.onboarding.by_arm import count_by_arm
from dagster_project.onboarding.guesses import Guess, Options, OutcomeGuess, as_outcome
from dagster_project.onboarding.profile import Column
from dagster_project.warehouse.connection import Warehouse
from uplift_core.errors import ExperimentError

FEW, MOST = 0.01, 0.99  # shares of an arm that are almost none and almost all
MIXED = 0.02  # share of the treated who are reached, from which a column is named


def with_exposure(db: Warehouse, guesses: Guess, options: Options) -> Guess:
    """Return the guesses with the declared exposure, and name columns that look like one.

    Columns that look like one came after the treatment, so they are no features.

    Raises:
        ExperimentError: the named column has another role, or more than two values.
    """
    if options.exposure:
        exposure = _named(guesses, options)
        why = f"as you said; {_shares(db, guesses, exposure)}"
        reasons = (*guesses.reasons, ("exposure", exposure.column.name, why))
        guesses = replace(_without(guesses, exposure.column), exposure=exposure, reasons=reasons)
    for column in (*guesses.after, *guesses.features):
        read = as_outcome(column, options.yes)
        if read is None or read.kind != "binary" or not _looks_reached(db, guesses, read):
            continue
        why = f"{_shares(db, guesses, read)}: it seems to say whom the treatment reached"
        if not options.exposure:
            why += f". Then pass --exposure {column.name}, and the effect of being reached is told, too"
        after = guesses.after if column in guesses.after else (*guesses.after, column)
        reasons = (*guesses.reasons, ("exposure?", column.name, why))
        guesses = replace(_without(guesses, column), after=after, reasons=reasons)
    return guesses


def _named(guesses: Guess, options: Options) -> OutcomeGuess:
    columns = {c.name: c for c in (*guesses.after, *guesses.features)}
    column = columns.get(options.exposure)
    if column is None:
        raise ExperimentError(
            f"--exposure '{options.exposure}' is the id, the arm, an outcome or the cluster already; "
            "name the column that is 1 for users whom the treatment reached"
        )
    read = as_outcome(column, options.yes)
    if read is None or read.kind != "binary":
        raise ExperimentError(
            f"--exposure {column.name}: {column.type} with {column.distinct} values; it must be 1 for "
            "users whom the treatment reached and 0 for others, or two words such as yes and no (--yes)"
        )
    return read


def _without(guesses: Guess, column: Column) -> Guess:
    features = tuple(feature for feature in guesses.features if feature is not column)
    after = tuple(other for other in guesses.after if other is not column)
    return replace(guesses, features=features, after=after)


def _reached(db: Warehouse, guesses: Guess, exposure: OutcomeGuess) -> dict[str, float]:
    counts = count_by_arm(db, guesses.arm, exposure)
    return {count.arm: count.happened / count.users for count in counts}


def _looks_reached(db: Warehouse, guesses: Guess, exposure: OutcomeGuess) -> bool:
    """Return whether almost no control has it, and the users of each treatment differ."""
    shares = _reached(db, guesses, exposure)
    none = shares.pop(guesses.control, 0.0)
    return none <= FEW and all(max(MIXED, 10 * none) <= share <= MOST for share in shares.values())


def _shares(db: Warehouse, guesses: Guess, exposure: OutcomeGuess) -> str:
    shares = _reached(db, guesses, exposure)
    return "1 for " + ", ".join(f"{share:.1%} of {arm}" for arm, share in shares.items())
