"""Drafts of the three files of an experiment's folder, for people to read and change."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import duckdb

from dagster_project.inputs.reading import EXACT_IN_FLOATS, READERS, TEXT
from dagster_project.onboarding.chances import EQUAL, Chances
from dagster_project.onboarding.encoding import FeatureLine
from dagster_project.onboarding.guesses import Guess, OutcomeGuess
from dagster_project.onboarding.profile import INTEGERS, ZONED, Column
from dagster_project.onboarding.shares import Shares
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.experiment.declaration import RESERVED
from uplift_core.experiment.naming import slug
from uplift_core.experiment.sources import TableSource

PARQUET = ".parquet"
USER_KEY = "user_key"  # the name in raw.sql of a text id that the file calls user_id
NO_NUMBER = " is not written as a whole number, as ids were when this was drafted: draft again"


@dataclass(frozen=True)
class Draft:
    """The content of the three files."""

    name: str
    file: str  # the file's name, for raw.sql and people
    path: str  # relative to the experiment's folder
    guess: Guess
    columns: Sequence[Column]
    shares: Shares
    in_one_arm: frozenset[str] = frozenset()  # outcomes that happen in one arm only
    chances: Chances = EQUAL
    table: TableSource | None = None  # instead of the path

    @property
    def arms(self) -> dict[str, str]:
        """Map each value in the file to the arm's declared name; the control first."""
        values = [self.guess.control, *(v for v in self.guess.arm.values if v != self.guess.control)]
        return unique({value: _arm_name(value) for value in values}, frozenset())

    @property
    def outcomes(self) -> dict[str, str]:
        """Map each column of the file to the outcome's declared name."""
        names = {o.column.name: slug(o.column.name, "outcome") for o in self.guess.outcomes}
        return unique(names, RESERVED)

    @property
    def has_text_ids(self) -> bool:
        """Whether the file's ids of users are texts, which raw.sql hashes."""
        return self.guess.id is not None and self.guess.id.type == TEXT

    @property
    def id_column(self) -> str:
        """The raw column with the file's id of users; row_number if there is none."""
        id_ = self.guess.id
        if id_ is None:
            return "row_number"
        if id_.name.lower() != "user_id":  # SQL names ignore case
            return id_.name
        return USER_KEY if id_.type == TEXT else "user_id"


def unique(names: Mapping[str, str], taken: frozenset[str]) -> dict[str, str]:
    """Add a number to names that occur twice or are taken."""
    result: dict[str, str] = {}
    for key, name in names.items():
        candidate, number = name, 2
        while candidate in result.values() or candidate in taken:
            candidate, number = f"{name}_{number}", number + 1
        result[key] = candidate
    return result


def _arm_name(value: str) -> str:
    """Return an arm's declared name: -1 is arm_minus_1, 2.0 is arm_2."""
    whole = re.fullmatch(r"(-?)(\d+)(\.0)?", value)
    if whole:
        return f"arm_{'minus_' if whole[1] else ''}{whole[2]}"
    return slug(value, "arm")


def toml(draft: Draft, features: Sequence[FeatureLine]) -> str:
    """Draft experiment.toml."""
    guess, shares, cluster = draft.guess, draft.shares, draft.guess.cluster
    exposure = guess.exposure and _text(guess.exposure.column.name)
    both = [o for o in guess.outcomes if o.column.name not in draft.in_one_arm] or guess.outcomes
    first = next((o for o in both if o.kind == "binary"), both[0])
    after = [column.name for column in guess.after]
    lines = [
        f"# A randomized experiment, guessed from {draft.file}. Read every line; correct what is wrong.",
        f"name = {json.dumps(draft.name)} # as the folder",
        f"title = {_text(draft.name.replace('_', ' ').capitalize())}",
        f"description = {_text(f'{guess.arm.rows:,} users of {draft.file}.')}",
        f"user_id = {_text(draft.id_column)} # raw column with the users' id, or row_number",
        *(
            ['id_hash = "keyed" # how its texts become numbers; it never changes once there are lists']
            if draft.has_text_ids
            else []
        ),
        f"arm_column = {_text(guess.arm.name)}",
        f"control = {json.dumps(draft.arms[guess.control])}",
        *([f"cluster = {_text(cluster.name)} # assigned as a whole"] if cluster else []),
        *_chances(draft.chances),
        *([f"exposure = {exposure} # whom the treatment reached"] if exposure else []),
        *([f"weight = {_text(guess.weight.name)} # of a sample"] if guess.weight else []),
        *([f"assigned_at = {_text(guess.assigned_at.name)}"] if guess.assigned_at else []),
        *([f"not_features = [{', '.join(map(_text, after))}] # after the treatment"] if after else []),
        "",
        *_shares_comment(shares),
    ]
    if not shares.designed:
        lines += ['propensities = "estimate"', ""]
    for value, name in draft.arms.items():
        lines += ["[[arms]]", f"name = {json.dumps(name)}", f"value = {_text(value)}"]
        lines += [f"share = {shares.written[value]}"]
        if value != guess.control:
            lines += ["# cost = 0.1 # of treating one user, in money"]
        lines += [""]
    for values, written in draft.chances.by_stratum.items():
        of_arm = ", ".join(f"{name} = {written[value]}" for value, name in draft.arms.items())
        lines += ["[[stratum]]", f"values = [{', '.join(map(_text, values))}]"]
        lines += [f"shares = {{ {of_arm} }}", ""]
    for outcome in guess.outcomes:
        name = draft.outcomes[outcome.column.name]
        lines += ["[[outcomes]]", f"name = {json.dumps(name)}", f'kind = "{outcome.kind}"']
        if name != outcome.column.name:
            lines += [f"column = {_text(outcome.column.name)}"]
        lines += ["# value = 20.0 # of one, in money", ""]
    lines += [
        "[split]",
        "holdout = 0.3 # of users, for the proof",
        "folds = 5",
        f'salt = "{draft.name}-1" # decides who is held out; do not change it later',
        "",
        "[defaults]",
        f"arm = {json.dumps(next(n for v, n in draft.arms.items() if v != guess.control))}",
        f"outcome = {json.dumps(draft.outcomes[first.column.name])} # what the models maximize",
        "budget = 0.3 # share of users to treat",
        "",
        "[source]",
        *_source(draft),
        *_missing(features),
    ]
    return "\n".join(lines) + "\n"


def _source(draft: Draft) -> list[str]:
    if draft.table:
        variable = f"UPLIFT_CONNECTION_{draft.table.connection.upper()}"
        return [
            'kind = "table"',
            f"connection = {_text(draft.table.connection)} # {variable} holds its URI",
            f"table = {_text(draft.table.table)}",
        ]
    return [
        'kind = "own_file"',
        f"path = {_text(draft.path)} # relative to this folder; part-*.parquet names several",
    ]


def _chances(chances: Chances) -> list[str]:
    """Declare the chances, if they differ between users."""
    if chances.column:
        return [f"propensity_column = {_text(chances.column)} # each user's chance of the treatment"]
    if not chances.strata:
        return []
    names = ", ".join(map(_text, chances.strata))
    lines = [f"strata = [{names}] # users were assigned within them"]
    return lines if chances.by_stratum else [*lines, 'strata_shares = "counted" # there was no plan']


def _shares_comment(shares: Shares) -> list[str]:
    if shares.designed:
        return ["# Shares by design. They were guessed from the counts: compare them with the plan."]
    return [
        "# Shares as counted: nothing guarantees that chance alone decided. If you know the plan, write",
        "# its shares and remove the line below. Shares that depend on features are not supported.",
    ]


def _missing(features: Sequence[FeatureLine]) -> list[str]:
    """Declare the allowed share of missing values: the counted one plus .025, up to a twentieth."""
    rooms = {f.name: min(math.ceil(f.missing * 20 + 0.5) / 20, 1) for f in features if f.missing}
    if not rooms:
        return []
    title = "[features] # share of users who may lack a value before a run warns"
    return ["", title, *(f"{name} = {{ missing = {room} }}" for name, room in rooms.items())]


def raw_sql(draft: Draft) -> str:
    """Draft raw.sql."""
    outcomes = {outcome.column.name: outcome for outcome in draft.guess.outcomes}
    items = [_user_id(draft)]
    for column in draft.columns:
        if column.name.lower() == "user_id" and draft.id_column in {"user_id", USER_KEY}:
            if draft.id_column == USER_KEY:
                items.append((f"{column.sql} as {USER_KEY}", "the id in the file"))
        elif column.name in outcomes:
            items.append((_outcome(outcomes[column.name]), "outcome"))
        elif draft.guess.exposure and column is draft.guess.exposure.column:
            items.append((_outcome(draft.guess.exposure), "whom the treatment reached"))
        elif column is draft.guess.cluster:
            items.append((_cluster(draft, column), "users with the same value were assigned together"))
        else:
            items.append((_renamed(column), _note(column)))
    last = len(items) - 1
    lines = [
        f"    {sql}{'' if i == last else ','}{f' -- {comment}' if comment else ''}"
        for i, (sql, comment) in enumerate(items)
    ]
    header = (
        f"/* {draft.file} as it came, one row per user.\n"
        "   Grain: user_id.  Input: the file at $source. */"
    )
    return "\n".join([header, "select", *lines, f"from {_reader(draft)}", ""])


def _note(column: Column) -> str:
    """Return what raw.sql says about a column that it changes; empty if it changes nothing."""
    if column.folded:
        return "spellings that differ by case or blanks are one arm"
    if column.gap_words:
        return "these words mean that there is no value"
    return ""


def _user_id(draft: Draft) -> tuple[str, str]:
    id_ = draft.guess.id
    if id_ is None:
        return "row_number() over () as user_id", "the row's number in the file, from 1"
    column = Identifier.of(id_.name).sql
    if id_.type == TEXT:
        return (
            f"raw.keyed_id({id_.sql}) as user_id",
            "a number that stays the user's in any file; this home's key makes it",
        )
    if not id_.read_as:
        return f"{column}::bigint as user_id", ""
    # Another file of this form may have leading zeros, or letters: as numbers they would be other ids.
    refusal = f"error({literal(f'{id_.name} = ')} || {column} || {literal(NO_NUMBER)})"
    return (
        f"if({column}::bigint::varchar = {column}, {column}::bigint, {refusal}) as user_id",
        "read as a text, and a number only as it is written",
    )


def _cluster(draft: Draft, column: Column) -> str:
    """Return the SQL of the cluster: of a CSV the text as it is written, as leading zeros count."""
    return _renamed(column) if draft.path.endswith(PARQUET) else Identifier.of(column.name).sql


def _outcome(outcome: OutcomeGuess) -> str:
    column = Identifier.of(outcome.column.name).sql
    test = f"{column} = {literal(outcome.yes)}" if outcome.yes else column
    if outcome.yes or outcome.column.type == "BOOLEAN":
        # This is no cast: DuckDB would pass a cast to its CSV reader, which reads no 'true' as number.
        value = f"(case when {test} then 1 when not ({test}) then 0 end)"
    else:
        value = outcome.column.sql
    if outcome.column.missing:
        value = f"coalesce({value.removeprefix('(').removesuffix(')') if value[0] == '(' else value}, 0)"
    type_ = "integer" if outcome.kind == "binary" else "double"
    return f"{value.removesuffix(f'::{type_}')}::{type_} as {column}"


def _renamed(column: Column) -> str:
    name = Identifier.of(column.name).sql
    return name if column.sql == name else f"{column.sql} as {name}"


def _reader(draft: Draft) -> str:
    suffix = "." + draft.path.rsplit(".", maxsplit=1)[-1]
    if suffix == PARQUET:
        return READERS[suffix]
    # The types are explicit, so that another file of this form is read in the same way.
    labels = {draft.guess.arm.name, draft.guess.id.name if draft.guess.id else ""}
    types = ",\n".join(
        f"        {literal(c.name)}: "
        f"'{TEXT if c is draft.guess.cluster else _file_type(c, is_label=c.name in labels)}'"
        for c in draft.columns
    )
    return "read_csv(\n    $source,\n    header = true,\n    types = {\n" + types + "\n    }\n)"


def _file_type(column: Column, *, is_label: bool) -> str:
    """Return the type that raw.sql reads a CSV's column as."""
    if column.cast == ZONED:
        return "TIMESTAMPTZ"
    exact = column.high is not None and max(-(column.low or 0), column.high) < EXACT_IN_FLOATS["DOUBLE"]
    if column.type in INTEGERS and exact and not is_label:
        return "DOUBLE"  # another file of this form may have decimals, which BIGINT would round
    return column.read_as or column.type


def features_sql(draft: Draft, lines: Sequence[FeatureLine], left_out: Mapping[str, str]) -> str:
    """Draft features.sql."""
    omitted = "".join(f"\n   Left out: {name}, {why}." for name, why in left_out.items())
    # A comment inside the header must not end it.
    omitted = omitted.replace("*/", "* /")
    header = (
        "/* Facts about each user from before the treatment: no arm, no outcome, nothing later.\n"
        f"   Grain: user_id.  Input: raw.{draft.name}.  All features are FLOAT.{omitted} */"
    )
    last = len(lines) - 1
    body = [
        f"    {line.sql} as {_bare(line.name)}{'' if i == last else ','} -- {line.comment}"
        for i, line in enumerate(lines)
    ]
    return "\n".join([header, "select", "    user_id,", *body, f"from raw.{draft.name}", ""])


def _bare(name: str) -> str:
    """Return a name in SQL, quoted only if it is a keyword."""
    return Identifier.of(name).sql if name in _keywords() else name


@cache
def _keywords() -> frozenset[str]:
    with duckdb.connect(":memory:") as con:
        rows = con.execute(
            "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
        ).fetchall()
    return frozenset(str(name) for (name,) in rows)


def _text(value: str) -> str:
    """Return a TOML string; TOML has the same escapes as JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
