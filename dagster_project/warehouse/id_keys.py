"""The key of text ids on a connection: a variable that ``raw.keyed_id`` reads, and no file holds."""

from __future__ import annotations

import secrets

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.experiment.user_ids import KEY_BYTES, IdKey

VARIABLE = "id_key"
MD5 = "(md5_number_lower({}::varchar) >> 1)::bigint"
KEYED = "raw.keyed_id({})"


def use_id_key(db: Warehouse, key: IdKey) -> None:
    """Let SQL of this connection hash text ids with the key."""
    db.rows(f"set variable {VARIABLE} = $blocks::blob[]", {"blocks": key.blocks})


def key_for_trial() -> IdKey:
    """Return a key that nobody keeps: SQL is tried with it where no user's number is needed."""
    return IdKey(secrets.token_bytes(KEY_BYTES))


def number_sql(column: Identifier, way: str) -> str:
    """Return the SQL of a user's number by a column of text ids; ``way`` as ``id_hash`` declares it."""
    return (KEYED if way == "keyed" else MD5).format(column)
