"""Draft the folder of a new experiment from its file, and print every guess."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
from rich.console import Console
from rich.table import Table

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.own_files import own_file
from dagster_project.onboarding import drafts
from dagster_project.onboarding.by_arm import outcomes_of_one_arm, refuse_gaps
from dagster_project.onboarding.by_arm import why_no_feature as why_row_number
from dagster_project.onboarding.chances import Chances, find_chances, shares_differ_by
from dagster_project.onboarding.clusters import units_by_arm, with_cluster
from dagster_project.onboarding.encoding import FeatureLine, encode, why_no_feature
from dagster_project.onboarding.exposure import with_exposure
from dagster_project.onboarding.guesses import Guess, Options, guess, id_column
from dagster_project.onboarding.profile import FILE, Column, open_file
from dagster_project.onboarding.shares import COUNTED, ask_for_plan, find_shares
from dagster_project.settings import OWN_EXPERIMENTS, SQL_FOLDER, Settings
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.id_keys import key_for_trial, use_id_key
from dagster_project.warehouse.schema import ID_RULES, create_rules, create_schemas
from dagster_project.warehouse.sql import Identifier
from uplift_core.boosting.without_scikit_learn import import_xgboost
from uplift_core.command_words import spoken
from uplift_core.errors import ExperimentError
from uplift_core.experiment.declaration import DECLARATION, FEATURES_SQL, RAW_SQL, load_experiment
from uplift_core.experiment.naming import slug
from uplift_core.experiment.sources import TAKEN

SAMPLE = 100_000  # number of users that the check of the randomization reads
NAME = re.compile(r"^[a-z][a-z0-9_]{0,47}$")
BEFORE = ".before"  # suffix of the files that --force replaced
POPULATION = "_population"  # suffix of an experiment's name: tables of the users to decide about


def new_experiment(file: Path, name: str, options: Options, console: Console) -> Path:
    """Read ``file``, print the guesses, and write the experiment's folder.

    Raises:
        UpliftError: the file is no supported randomized experiment, or the name is taken.
    """
    folder = _folder(name, force=options.force)
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect(f"{scratch}/file.duckdb") as con:
        db = Warehouse(con)
        columns = open_file(db, file, lambda names: id_column(names, options))
        guesses = guess(columns, options)
        columns = [guesses.arm if column.name == guesses.arm.name else column for column in columns]
        _fold_arm(db, guesses.arm)
        if not options.missing_is_zero:
            refuse_gaps(db, guesses)
        guesses = with_exposure(db, with_cluster(db, guesses, options), options)
        in_one_arm = outcomes_of_one_arm(db, guesses)
        units = units_by_arm(db, guesses)
        chances = find_chances(db, guesses, options)
        shares = chances.shares or find_shares(units, options.shares)
        draft = drafts.Draft(
            name=name,
            file=options.table.table if options.table else file.name,
            path=os.path.relpath(file.expanduser().absolute(), folder),
            guess=guesses,
            columns=columns,
            shares=shares,
            in_one_arm=frozenset(in_one_arm),
            chances=chances,
            table=options.table,
        )
        left_out = {
            c.name: why for c in guesses.features if (why := why_no_feature(c) or why_row_number(db, c))
        }
        used = [column for column in guesses.features if column.name not in left_out]
        _refuse_infinite([*used, *(outcome.column for outcome in guesses.outcomes)])
        lines = encode(used, draft.outcomes.values(), clustered=guesses.cluster is not None)
        if not lines:
            raise ExperimentError("no column is left for the features; all users would look alike")
        _print_guesses(console, draft, lines, left_out)
        if options.shares == COUNTED and not shares.designed:
            console.print(
                "Warning: the arms' shares are estimated from the counts. Then the design no longer "
                "guarantees that the arms differ by chance alone."
            )
        if guesses.cluster:
            console.print(
                f'Written: cluster = "{guesses.cluster.name}". Users of equal value stay together in '
                "the split, the folds, the holdout group and the lists."
            )
        for outcome, arm in in_one_arm.items():
            console.print(
                f"Warning: '{outcome}' happened in arm '{arm}' only, so its difference between the arms "
                "is no effect. It is not the default outcome unless there is no other; leave it out "
                f"with --ignore {shlex.quote(outcome)}."
            )
        _refuse_predictable(db, guesses, lines, used, chances)
        if not shares.designed and options.shares != COUNTED and (hint := shares_differ_by(db, guesses)):
            raise ExperimentError(f"{shares.why}; {hint}")
        ask_for_plan(shares, units, options.shares)
        _refuse_unreadable(
            db, file, draft, drafts.raw_sql(draft), drafts.features_sql(draft, lines, left_out)
        )
    _write(folder, draft, lines, left_out)
    _print_next_steps(console, draft, folder)
    return folder


def _folder(name: str, *, force: bool) -> Path:
    if not NAME.match(name) or name in TAKEN:
        raise ExperimentError(
            f"NAME '{name}': must be lower-case letters, digits and underscores, start with a letter "
            f"and be none of {', '.join(sorted(TAKEN))}; try {slug(name, 'experiment')}"
        )
    parts = [part for part in Settings().experiments.split(os.pathsep) if part]
    roots = [Path(part).expanduser().absolute() for part in parts] or [OWN_EXPERIMENTS]
    folder = roots[0] / name
    if folder.exists() and not force:
        raise ExperimentError(
            f"{folder} exists already; choose another NAME, or pass --force to draft it again"
        )
    taken = _taken(name, [SQL_FOLDER / "experiments", *roots])
    if taken and taken != folder:
        raise ExperimentError(
            f"NAME '{name}' is taken by the experiment in {taken}; choose another NAME"
        )
    return folder


def _taken(name: str, roots: Sequence[Path]) -> Path | None:
    """Return the folder of an experiment with this name, or with tables of this name; else None."""
    folders = {path.parent.name: path.parent for root in roots for path in root.glob(f"*/{DECLARATION}")}
    rivals = (name, name.removesuffix(POPULATION), f"{name}{POPULATION}")
    return next((folders[rival] for rival in rivals if rival in folders), None)


def _print_guesses(
    console: Console, draft: drafts.Draft, lines: list[FeatureLine], left_out: dict[str, str]
) -> None:
    table = Table(title=f"{draft.file}: {draft.guess.arm.rows:,} rows", title_justify="left")
    for heading in ("what", "guess", "why"):
        table.add_column(heading, overflow="fold")
    for row in draft.guess.reasons:
        table.add_row(*row)
    kind = "shares by design" if draft.shares.designed else "shares as counted"
    table.add_row(kind, ", ".join(draft.arms), draft.shares.why)
    table.add_row("features", str(len(lines)), ", ".join(line.name for line in lines))
    if draft.guess.cluster:
        name = draft.guess.cluster.name
        left_out = {name: "is the cluster", **left_out}
    for name, why in left_out.items():
        table.add_row("no feature", name, why)
    console.print(table)


def _refuse_infinite(columns: Sequence[Column]) -> None:
    for column in columns:
        if column.infinite:
            raise ExperimentError(
                f"column '{column.name}' holds {column.infinite}; features and outcomes must be finite: "
                f"correct the file, or leave the column out with --ignore {shlex.quote(column.name)}"
            )


def _refuse_predictable(
    db: Warehouse,
    guesses: Guess,
    lines: list[FeatureLine],
    columns: list[Column],
    chances: Chances,
) -> None:
    """Refuse arms that the features predict, within strata if there are any.

    Raises:
        ExperimentError: names the arm and the feature that predicts it best.
    """
    selects = ", ".join(f"{line.sql} as {Identifier.of(line.name)}" for line in lines)
    casts = ", ".join(f"{_plain(c)} as {Identifier.of(c.name)}" for c in columns)
    arm = Identifier.of(guesses.arm.name)
    every = -(-guesses.arm.rows // SAMPLE)
    unit = Identifier.of(guesses.cluster.name if guesses.cluster else "_row")
    rows = db.arrow(
        f"select {arm}::varchar as _arm, dense_rank() over (order by {unit}) - 1 as _unit, {selects}, "
        f"_chance from (select * replace ({casts}), {chances.sql(guesses)} as _chance from {FILE}) "
        f"where md5_number_lower({unit}::varchar) % $every = 0 order by _row",
        {"every": every},
    )
    cluster = rows.column("_unit").to_numpy() if guesses.cluster else None
    arms = rows.column("_arm").to_numpy(zero_copy_only=False)
    x = np.column_stack([rows.column(line.name).to_numpy() for line in lines]).astype(np.float32)
    x[np.isinf(x)] = np.nan
    import_xgboost()
    from uplift_core.diagnostics.balance import arm_balance  # noqa: PLC0415 - takes 1 s, so answer first

    # Of two arms, one is predicted exactly as well as the other.
    for value in guesses.arm.values[: None if len(guesses.arm.values) > 2 else 1]:  # noqa: PLR2004
        weight = None
        if chances:
            e = rows.column("_chance").to_numpy().astype(np.float64)
            weight = 1 / np.where(arms == guesses.control, 1 - e, e)
        balance = arm_balance(x, arms == value, cluster=cluster, weight=weight)
        if balance.predictable:
            together = balance.together.value
            name, auc, smd = balance.worst([line.name for line in lines])
            hint = "" if chances else shares_differ_by(db, guesses)
            raise ExperimentError(
                f"the features predict who is in arm '{value}' (AUC {together:.2f}, chance is 0.50; "
                f"'{name}' alone {auc:.2f}, standardized difference {smd:.2f}). Either arms were not "
                "assigned at random with "
                f"{'these chances' if chances else 'the same shares for everybody'}, or a column is "
                "from after the treatment: then leave it out with --ignore COLUMN"
                f"{f'. {hint[0].upper()}{hint[1:]}' if hint else ''}"
            )


def _fold_arm(db: Warehouse, arm: Column) -> None:
    """Give the file's table the arm's labels as raw.sql will yield them."""
    if arm.folded:
        db.rows(f"update {FILE} set {Identifier.of(arm.name)} = {arm.sql}")


def _refuse_unreadable(
    db: Warehouse, file: Path, draft: drafts.Draft, raw_sql: str, features_sql: str
) -> None:
    """Run the drafted SQL on the file.

    Raises:
        ExperimentError: it fails, or it yields other users or arms than the file holds.
    """
    raw = Identifier.of("raw", draft.name)
    try:
        create_schemas(db)
        create_rules(db, ID_RULES)
        use_id_key(db, key_for_trial())
        source = own_file(file.name, "FILE", Path.cwd(), file, base="the working directory").path
        users = db.create(raw, raw_sql, {"source": str(source)})
        db.create_temporary(Identifier.of("drafted_features"), features_sql)
    except duckdb.Error as error:
        raise ExperimentError(
            f"{draft.file}: the drafted SQL does not run: {str(error).partition('LINE 1')[0].strip()}. "
            "Nothing was written; name the column that it is about with --ignore"
        ) from error
    sql = f"select distinct {Identifier.of(draft.guess.arm.name)}::varchar from {raw}"
    arms = {str(arm) for (arm,) in db.rows(sql)}
    if users != draft.guess.arm.rows or arms != set(draft.guess.arm.values):
        raise ExperimentError(
            f"{draft.file}: the drafted SQL yields {users:,} users in the arms {sorted(arms)}; the file "
            f"holds {draft.guess.arm.rows:,} in {sorted(draft.guess.arm.values)}. Nothing was written"
        )


def _plain(column: Column) -> str:
    """Return the SQL of a column as raw.sql will yield it."""
    name = Identifier.of(column.name).sql
    if column.cast == "TIMESTAMP WITH TIME ZONE":
        return f"timezone('UTC', {name})"
    return f"{name}::{column.cast}" if column.cast else name


def _write(
    folder: Path, draft: drafts.Draft, lines: list[FeatureLine], left_out: dict[str, str]
) -> None:
    """Write the three files, once the experiment can be read; earlier ones stay as ``*.before``."""
    files = {
        DECLARATION: drafts.toml(draft, lines),
        RAW_SQL: drafts.raw_sql(draft),
        FEATURES_SQL: drafts.features_sql(draft, lines, left_out),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder.parent) as aside:
        written = Path(aside) / folder.name
        written.mkdir()
        for name, text in files.items():
            (written / name).write_text(text, encoding="utf-8")
        BatchExperiment.read(load_experiment(written), written)
        if not folder.exists():
            written.rename(folder)
            return
        for name in files:
            if (folder / name).exists():
                (folder / name).replace(folder / f"{name}{BEFORE}")
            (written / name).replace(folder / name)


def _print_next_steps(console: Console, draft: drafts.Draft, folder: Path) -> None:
    console.print(f"\nWritten to {folder}", soft_wrap=True)
    if (folder / f"{DECLARATION}{BEFORE}").exists():
        console.print(f"What was there before is beside it, as *{BEFORE}")
    console.print(f"  {DECLARATION}   arms, shares, outcomes, budget: compare with the plan")
    console.print(f"  {RAW_SQL}           how the file is read")
    console.print(f"  {FEATURES_SQL}      may read only columns that were known before the treatment")
    console.print(f"\nThen   {spoken(f'run EXPERIMENTS={draft.name}', f'run {draft.name}')}")
