"""A night's list on workers: choose the ranges, submit their tasks and combine the results."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate

import pyarrow as pa

from dagster_project.compute.cluster import list_tasks as ranges
from dagster_project.compute.cluster.jobs import Tasks
from dagster_project.compute.cluster.list_tasks import EXPLORE, RANKED, REST, Range, RoleFiles, Slice
from dagster_project.compute.cluster.tasks import MERGED, Query, Reads
from dagster_project.decisions.ledger import NightParts, write_parts
from dagster_project.decisions.role_counts import Counts, ListRequest, refuse_faults
from dagster_project.decisions.roles import (
    EXCLUDED,
    NO_RULES,
    Binds,
    Fit,
    cut_binds,
    lanes_of,
    write_excluded,
)
from dagster_project.decisions.usual import usual_binds
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.partitions import Generation, write_part
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.targeting.budget import Lanes, Quota, rank_of

MARKS = 4  # smallest number of marks of each part in a range: a range's size varies less with more
INTERVALS = Identifier.of("intervals")


@dataclass(frozen=True)
class RolesInParts:
    """Roles in files by range; the results equal those of ``LocalRoles``.

    Attributes:
        tasks: submits the work.
        db: the warehouse.
        request: which list.
        counts: counts of all users.
        ranged: files of roles by range.
        explorers: files of explorers with their ranks.
        ranked: slices of users with a rank, in the list's order.
        rest: slices of users without a rank.
    """

    tasks: Tasks
    db: Warehouse
    request: ListRequest
    counts: Counts
    ranged: Generation
    explorers: Generation
    ranked: Sequence[Slice]
    rest: Sequence[Slice]

    def affordable(self, amount: float) -> int:
        """See ``Roles.affordable``: the cumulated costs of slices show in which slice the money ends."""
        spent = list(accumulate(self._costs(), initial=Decimal(0)))
        (limit,) = self.db.one("select $amount::decimal(24, 6)", {"amount": amount})
        end = next((i for i, until in enumerate(spent[1:]) if until > limit), len(self.ranked) - 1)
        call = (self.tasks.limits, self.ranked[end], self.counts, amount, spent[end])
        return self.tasks.run("afford", ranges.afford, [call])[0]

    def reaching(self, score: float) -> int:
        """See ``Roles.reaching``."""
        return sum(self._count_priority(score))

    def fit(self, places: Quota) -> Fit:
        """See ``Roles.fit``: whole clusters are listed on one machine, so all places are filled."""
        return Fit(places)

    def cut(self, treated: int) -> Binds:
        """See ``Roles.cut``."""
        if not treated:
            return cut_binds()
        ends = [piece.range.before + piece.range.users for piece in self.ranked]
        call = (self.tasks.limits, self.ranked[bisect_left(ends, treated)], self.counts, treated)
        priority, tie = self.tasks.run("cut", ranges.find_place, [call])[0]
        above, tied = self._count_priority(priority)
        return cut_binds(priority, tie, (treated - above) / tied)

    @property
    def lanes(self) -> Lanes:
        """See ``Roles.lanes``."""
        return lanes_of(self.counts, NO_RULES)

    def usual_cut(self, treated: int) -> Binds:
        """See ``Roles.usual_cut``: lists with users who are treated as usual are made on one machine."""
        return usual_binds(NO_RULES, treated)

    def write_list(self, binds: Binds) -> None:
        """See ``Roles.write_list``: every slice is one part of the list."""
        night, slices = self.tasks.new("treat_list"), [*self.ranked, *self.rest]
        calls = [
            (self.tasks.limits, piece, self.counts, binds, night.path(i))
            for i, piece in enumerate(slices)
        ]
        self.tasks.run("rank", ranges.list_part, calls)
        night.close()
        write_parts(self.db, self.request.key, NightParts(night.folder, len(slices), len(self.ranked)))
        self.ranged.remove()
        self.explorers.remove()

    def _count_priority(self, priority: float) -> tuple[int, int]:
        """Count the ranked users with a higher priority, and with an equal one."""
        calls = [(self.tasks.limits, str(file), priority) for file in self.ranged.files]
        counted = self.tasks.run("count-cut", ranges.count_priority, calls)
        above, tied = (sum(counts) for counts in zip(*counted, strict=True))
        return above, tied

    def _costs(self) -> list[Decimal]:
        """Sum the costs of each slice's users, explorers included."""
        costs = [piece.range.spent for piece in self.ranked]
        if not self.counts.explorers:
            return costs
        table = pa.table({"slice": range(len(costs)), "first": [piece.first for piece in self.ranked]})
        with self.db.relation("intervals", table):
            rows = self.db.rows(
                "select slice, sum(cost::decimal(18, 6)) from read_parquet($files) as explorers "
                f"asof join {INTERVALS} as intervals on explorers.rank > intervals.first group by slice",
                {"files": self.explorers.pattern},
            )
        for slice_, spent in rows:
            costs[slice_] += spent
        return costs


@dataclass(frozen=True)
class Ranging:
    """How the users' parts are cut into ranges of the list's order.

    Attributes:
        reads: each part's scores, and its raw rows if a column holds the users' costs or values.
        range_users: largest number of users of a range, which one task ranks.
    """

    reads: Sequence[Reads]
    range_users: int

    @property
    def step(self) -> int:
        """Distance between two marks of a part, in users: every ``step``-th user is a mark."""
        return max(self.range_users // (MARKS * len(self.reads)), 1)

    @property
    def marks_per_range(self) -> int:
        """Largest number of marks in a range.

        Fewer than ``step`` users of each part lie between two marks, so a range may have that many more.
        """
        return max((self.range_users - len(self.reads) * (self.step - 1)) // self.step, 1)


def roles_in_parts(
    tasks: Tasks,
    db: Warehouse,
    experiment: BatchExperiment,
    request: ListRequest,
    ranging: Ranging,
) -> RolesInParts:
    """Give every user a role on workers, and cut the list's order into ranges.

    Args:
        tasks: submits the work.
        db: the warehouse.
        experiment: the experiment.
        request: which list.
        ranging: the files of the users, and the size of the ranges.

    Raises:
        DataError: scores are not finite, or costs or values are invalid.
    """
    write_excluded(db, experiment, request.key)
    generations = {name: tasks.new(name) for name in ("excluded", "roles", "marks", "splits", "ranged")}
    excluded = write_part(db, f"from {EXCLUDED} order by user_id", {}, generations["excluded"].path(0))
    calls = [
        (
            *(tasks.limits, experiment, request, {**each, EXCLUDED: str(excluded.path)}),
            RoleFiles(generations["roles"].path(i), generations["marks"].path(i), ranging.step),
        )
        for i, each in enumerate(ranging.reads)
    ]
    counts = sum(tasks.run("roles", ranges.roles_of_part, calls), Counts())
    refuse_faults(experiment, request, counts)
    split = Query(
        render("decisions/splits.sql", marks=MERGED),
        generations["splits"].path(0),
        {MERGED: generations["marks"].pattern},
        {"marks_per_range": ranging.marks_per_range},
    )
    splits = tasks.query("splits", [split])[0]
    expected = splits.rows + len((RANKED, EXPLORE, REST))
    tasks.run(
        "ranges",
        ranges.range_part,
        [
            (tasks.limits, str(file), str(splits.path), expected, generations["ranged"].path(i))
            for i, file in enumerate(generations["roles"].files)
        ],
    )
    by_lane = _ranges(tasks, db, generations["ranged"], money=request.money)
    for name in ("excluded", "roles", "marks", "splits"):
        generations[name].remove()
    explorers = _place_explorers(tasks, counts, generations["ranged"], by_lane[EXPLORE])
    return RolesInParts(
        tasks,
        db,
        request,
        counts,
        generations["ranged"],
        explorers,
        ranked=_ranked_slices(
            counts, generations["ranged"], explorers, by_lane[RANKED] or [Range(RANKED)]
        ),
        rest=[Slice(each, generations["ranged"].pattern, "") for each in by_lane[REST] or [Range(REST)]],
    )


def _ranges(tasks: Tasks, db: Warehouse, ranged: Generation, *, money: bool) -> dict[str, list[Range]]:
    """Return all ranges by lane, in order; their users and costs are sums over the parts."""
    sums = tasks.new("range_sums")
    sql = render("decisions/range_sums.sql", ranged=MERGED, money=money)
    queries = [Query(sql, sums.path(i), {MERGED: str(f)}) for i, f in enumerate(ranged.files)]
    files = [part.path for part in tasks.query("range-sums", queries)]
    merged_sql = render("decisions/merged_range_sums.sql", parts=MERGED)
    merged = tasks.merge("merged_range_sums", merged_sql, files)
    by_lane: dict[str, list[Range]] = {lane: [] for lane in (RANKED, EXPLORE, REST)}
    rows = db.rows(
        "select lane, range_number, users, spent from read_parquet($file) order by all",
        {"file": str(merged)},
    )
    for lane, number, users, spent in rows:
        last = by_lane[lane][-1] if by_lane[lane] else Range(lane)
        by_lane[lane].append(Range(lane, number, users, last.before + last.users, spent))
    for generation in (sums, Generation(merged.parent)):
        generation.remove()
    return by_lane


def _place_explorers(
    tasks: Tasks, counts: Counts, ranged: Generation, lane_ranges: Sequence[Range]
) -> Generation:
    explorers = tasks.new("explorers")
    calls = [
        (tasks.limits, Slice(each, ranged.pattern, ""), counts, explorers.path(i))
        for i, each in enumerate(lane_ranges)
    ]
    tasks.run("explorers", ranges.place_explorers, calls)
    return explorers


def _ranked_slices(
    counts: Counts, ranged: Generation, explorers: Generation, lane_ranges: Sequence[Range]
) -> list[Slice]:
    """Build the slices: each ends with its range's last ranked user, the last one with the last user."""
    ends = [
        rank_of(each.before + each.users, counts.ranked, counts.explorers) for each in lane_ranges[:-1]
    ]
    firsts = [0, *ends]
    lasts = [*ends, counts.ranked + counts.explorers]
    files = explorers.pattern if counts.explorers else ""
    return [
        Slice(each, ranged.pattern, files, first, last)
        for each, first, last in zip(lane_ranges, firsts, lasts, strict=True)
    ]
