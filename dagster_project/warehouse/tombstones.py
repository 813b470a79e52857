"""Tombstones of erased users: their rows stay out of tables that are read from files again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

ERASED = Identifier.of("training", "erased")
KEY = "sha256($secret || '/' || $experiment || '/' || user_id)"


def bury(db: Warehouse, experiment: str, users: Mapping[int, str], *, salt: str, holdout: float) -> None:
    """Write the tombstones of users, by id; a second one changes nothing.

    Args:
        db: the warehouse.
        experiment: the experiment's name.
        users: values of ``user_id``, each with what the draws hash: the id, or the cluster.
        salt: the salt of the experiment's draws.
        holdout: the share of users who are held out of lists.
    """
    db.rows(
        f"insert or ignore into {ERASED} select $experiment, {KEY}, $secret, "
        "decisions.draw_of(decisions.list_hash($salt, drawn)) < $holdout, $now "
        "from (select unnest($users::bigint[]) as user_id, unnest($drawn::varchar[]) as drawn)",
        {
            "experiment": experiment,
            "secret": _secret(db) or secrets.token_hex(32),
            "salt": salt,
            "holdout": holdout,
            "now": datetime.now(UTC).replace(tzinfo=None),
            "users": list(users),
            "drawn": list(users.values()),
        },
    )


def leave_out_erased(db: Warehouse, experiment: str, table: Identifier) -> None:
    """Delete erased users from a table of users that was just read from a file."""
    (known,) = db.one(f"select count(*) from {ERASED} where experiment = $name", {"name": experiment})
    if known:
        db.rows(
            f"delete from {table} where {KEY} in "
            f"(select user_key from {ERASED} where experiment = $experiment)",
            {"experiment": experiment, "secret": _secret(db)},
        )


def is_buried(db: Warehouse, experiment: str, user: int) -> bool:
    """Return true if a user of this id was erased."""
    rows = db.rows(
        f"select 1 from (select $user::bigint as user_id) where {KEY} in "
        f"(select user_key from {ERASED} where experiment = $experiment)",
        {"experiment": experiment, "secret": _secret(db), "user": user},
    )
    return bool(rows)


def _secret(db: Warehouse) -> str:
    rows = db.rows(f"select any_value(secret) from {ERASED}")
    return str(rows[0][0] or "")
