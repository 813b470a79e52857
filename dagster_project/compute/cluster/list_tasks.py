"""Rank in parts: the tasks of a worker on one part of the users, or one range of the list's order.

This is a sample sort. Every n-th user of each part, in the list's order, is a mark; the marks of all
parts define the ends of ranges. Each range is ranked separately and starts after the number of users in
the ranges before it, so no task sorts all users. Ranges are cut in the complete order (priority, salted
hash, user id): users of equal score may fall into several ranges, and no task counts the priorities,
which are as many as the users if each has a different cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from dagster_project.compute.cluster.tasks import Limits, Reads, opened
from dagster_project.decisions.role_counts import ROLES, Counts, ListRequest, count_roles, count_scores
from dagster_project.decisions.roles import (
    EXCLUDED,
    PLACES,
    Binds,
    list_select,
    places_binds,
    places_select,
    write_roles,
)
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.partitions import ROW_GROUP, Part, write_part
from dagster_project.warehouse.sql import Identifier, render

RANKED, EXPLORE, REST = "ranked", "explore", "rest"  # lanes; see sql/decisions/lanes.sql
WHOLE = Identifier.of("whole")
SPLITS = Identifier.of("splits")
EXPLORERS = Identifier.of("explorers")
FEWEST = 2_048  # smallest number of rows of a row group
LIST_ORDER = "order by rank nulls last, user_id"  # the order of exports


@dataclass(frozen=True)
class Range:
    """A range of one lane: its users, the lane's users before it, and the cost of its users."""

    lane: str
    number: int = 0
    users: int = 0
    before: int = 0
    spent: Decimal = Decimal(0)


@dataclass(frozen=True)
class Slice:
    """One part of the list: a range, and the explorers whose ranks fall among its users' ranks.

    Attributes:
        range: the range: ranked users, or users without a rank.
        ranged: files with the roles of all parts by range.
        explorers: files of explorers with their ranks; empty if there are no explorers.
        first: number of users of the list before the slice.
        last: place of the slice's last user.
    """

    range: Range
    ranged: str
    explorers: str
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class RoleFiles:
    """The two files that are written for one part's users.

    Attributes:
        roles: file of all users' roles.
        marks: file of the marks.
        step: every ``step``-th user, in the list's order, is a mark.
    """

    roles: Path
    marks: Path
    step: int


def roles_of_part(
    limits: Limits, experiment: BatchExperiment, request: ListRequest, reads: Reads, files: RoleFiles
) -> Counts:
    """Write the roles and the marks of one part's users."""
    with opened(limits, {name: file for name, file in reads.items() if name != EXCLUDED}) as db:
        score = count_scores(db, experiment, request)
        db.create_view(WHOLE, reads[EXCLUDED])
        first, last = db.one(
            "select coalesce(min(user_id), 0), coalesce(max(user_id), 0) "
            f"from {experiment.target_users.scores}"
        )
        # The file is sorted, so a part reads only the rows of its users if ids are row numbers.
        db.rows(f"create view {EXCLUDED} as from {WHOLE} where user_id between {first} and {last}")
        write_roles(db, experiment, request)
        write_part(db, f"from {ROLES}", {}, files.roles)
        marks = render("decisions/marks.sql", lanes=lanes())
        write_part(db, marks, {"step": files.step}, files.marks)
        return score + count_roles(db, request)


def range_part(limits: Limits, roles: str, splits: str, ranges: int, target: Path) -> Part:
    """Write one part's roles by range; a reader of one range then skips the rows of others."""
    with opened(limits, {ROLES: roles, SPLITS: splits}) as db:
        rows = min(max(db.count(ROLES) // ranges, FEWEST), ROW_GROUP)
        sql = render("decisions/ranged.sql", lanes=lanes(), splits=SPLITS)
        return write_part(db, sql, {}, target, row_group=rows)


def place_explorers(limits: Limits, piece: Slice, counts: Counts, target: Path) -> Part:
    """Write one range's explorers with their ranks."""
    with opened_slice(limits, piece, counts) as db:
        return write_part(db, f"from {PLACES} order by rank", {}, target)


def afford(limits: Limits, piece: Slice, counts: Counts, amount: float, spent_before: Decimal) -> int:
    """Count the users of the whole order whom an amount treats; the amount ends within the slice."""
    with opened_slice(limits, piece, counts) as db:
        binds = {"amount": amount, "before": piece.first, "spent_before": spent_before}
        return int(db.one(render("decisions/affordable.sql", ordered_users=PLACES), binds)[0])


def find_place(limits: Limits, piece: Slice, counts: Counts, place: int) -> tuple[float, int]:
    """Return priority and tie of the ranked user in a place; the user falls into the slice."""
    with opened_slice(limits, piece, counts) as db:
        sql = f"select priority, tie from {PLACES} where role = $lane and place = $place"
        priority, tie = db.one(sql, {"lane": RANKED, "place": place})
        return float(priority), int(tie)


def count_priority(limits: Limits, ranged: str, priority: float) -> tuple[int, int]:
    """Count a part's ranked users with a higher priority, and with an equal one."""
    with opened(limits, {WHOLE: ranged}) as db:
        above, tied = db.one(
            "select count(*) filter (priority > $priority), count(*) filter (priority = $priority) "
            f"from {WHOLE} where lane = $lane",
            {"priority": priority, "lane": RANKED},
        )
        return int(above), int(tied)


def list_part(limits: Limits, piece: Slice, counts: Counts, binds: Binds, target: Path) -> Part:
    """Write one slice of the list, in the order of the export."""
    with opened_slice(limits, piece, counts) as db:
        rows = list_select(Identifier(f"from {PLACES}"))
        return write_part(db, f"from ({rows}) {LIST_ORDER}", binds, target)


@contextmanager
def opened_slice(limits: Limits, piece: Slice, counts: Counts) -> Iterator[Warehouse]:
    """Open a database with the roles of a slice's range, and the places of all users in the slice."""
    reads = {WHOLE: piece.ranged} | ({EXPLORERS: piece.explorers} if piece.explorers else {})
    with opened(limits, reads) as db:
        part = piece.range
        columns = "select * exclude (lane, first_key, second_key, range_number)"
        where = f"lane = '{part.lane}' and range_number = {part.number}"
        db.rows(f"create view {ROLES} as {columns} from {WHOLE} where {where}")
        lane = {RANKED: "ranked_before", EXPLORE: "explorers_before"}
        before = {lane[part.lane]: part.before} if part.lane in lane else {}
        sql, binds = places_select(), dict(places_binds(counts, **before))
        if piece.explorers:
            among = f"from {EXPLORERS} where rank > $first and rank <= $last"
            sql = f"from ({sql}) union all by name {among}"
            binds |= {"first": piece.first, "last": piece.last}
        db.create_temporary(PLACES, sql, binds)
        yield db


def lanes() -> Identifier:
    """Return the SQL of the users' positions in the list's order, see ``sql/decisions/lanes.sql``."""
    return Identifier(render("decisions/lanes.sql", roles=ROLES))
