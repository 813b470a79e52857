"""Look up users by id: their role in the lists, and what the newest list says about them.

The rules are those of the batch: macros that the snapshot holds, with the values that the newest list
was made with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serve.errors import UnavailableError
from serve.prepared import ROWS
from serve.snapshot import Snapshot
from uplift_core.artifacts.register import Register, RegisterError, scopes_of
from uplift_core.experiment.decision_rules import RANDOM, RESPONSE, cap_binds
from uplift_core.experiment.declaration import Experiment
from uplift_core.targeting.budget import Explorers

Role = Literal["ranked", "explore", "holdout", "suppressed", "usual", "explore_near"]
CONTACT_CAP = "contact_cap"  # the reason of the batch's rule
BY_SCORE = ("above_threshold", "below_threshold")  # reasons if the score decides
NOBODY = np.iinfo(np.int64).max  # the number of a user who is not in the snapshot: after all others

# The newest published list of each campaign, the newest first.
NEWEST = """
select night.*, rules.* exclude (decision_date, experiment, campaign, holdout),
    rules.holdout as holdout_share
from decisions.nights as night
left join decisions.list_rules as rules using (decision_date, experiment, campaign)
where night.experiment = $experiment and exists (
    from decisions.listed
    where listed.experiment = night.experiment
        and listed.campaign = night.campaign
        and listed.decision_date = night.decision_date
)
order by decision_date desc, campaign
"""
EXPLORERS = """
select user_id, decisions.draw_of(decisions.list_hash($salt, {drawn})) as draw
from {users}
where experiment = $experiment and campaign = $campaign and decision = 'explore'
order by draw, user_id
"""
REGISTERED = "decisions.registered"  # the register's copy in a snapshot; earlier versions have none
MAYBE_EXCLUDED = """
select distinct user_id
from ({tables})
order by user_id
"""
CALL = "$experiment, $campaign, $today::date, $cap::integer, $cap_days::integer"
ROLES = """
select
    decisions.draw_of(list_hash) as draw,
    decisions.role_of(
        draw, is_excluded, true, getvariable('holdout'), getvariable('explore'){usual}
    ) as role
from (
    select *, decisions.list_hash(getvariable('salt'), {drawn}) as list_hash
    from {rows}
) as hashed
"""
USUAL = ", usual_share := getvariable('usual')"  # rules of earlier versions do not know it
OTHER_LANES = """
select
    count(*) filter (decision = 'usual') as usual,
    count(rank) filter (decision = 'usual') as able,
    count(*) filter (decision = 'explore_near') as near
from decisions.listed
where experiment = $experiment and campaign = $campaign
"""
BY_LIST = ("usual", "explore_near")  # roles about which the newest list decides
LISTED = (
    "select user_id, decision, treated, rank, reason from decisions.listed "
    "where experiment = $experiment and campaign = $campaign"
)


@dataclass(frozen=True)
class NewestList:
    """A campaign's newest list."""

    decision_date: date
    campaign: str
    arm: str
    learner: str
    model_version: str
    budget: float
    cut: Literal["size", "threshold"]
    unit: Literal["user", "cluster"]


@dataclass(frozen=True)
class Known:
    """Facts about users of the snapshot, in the order of the request.

    Attributes:
        user_id: (n,) int64.
        draw: (n,) float64 from 0 to 1, drawn once for each user.
        role: (n,) text, see ``Role``.
        excluded_for: (n,) the reason why the user must not be treated; None for other users.
        listed: decision, treated, rank and reason in the newest list, each (n,); None for users who are
            not on it.
        newest: the newest list about the arm; None if there is none.
        explorers: the users about whom chance decides; None if there is no list.
        shares: the shares of users who are held out and who explore.
        followed: (n,) whether the list's decision about the user's cluster stands, see ``follow``.
    """

    user_id: npt.NDArray[np.int64]
    draw: npt.NDArray[np.float64]
    role: npt.NDArray[np.object_]
    excluded_for: npt.NDArray[np.object_]
    listed: Mapping[str, npt.NDArray[np.object_]]
    newest: NewestList | None
    explorers: Explorers | None
    shares: tuple[float, float]
    followed: npt.NDArray[np.bool_]

    def of(self, rows: slice | npt.NDArray[np.int64]) -> Known:
        """Select some of the users."""
        return Known(
            self.user_id[rows],
            self.draw[rows],
            self.role[rows],
            self.excluded_for[rows],
            {name: column[rows] for name, column in self.listed.items()},
            self.newest,
            self.explorers,
            self.shares,
            self.followed[rows],
        )

    def on_other_list(self, other: Known) -> Known:
        """Say what another list says about the same users; role and chance stay."""
        return replace(self, listed=other.listed, newest=other.newest)

    def follow(self, learner: str, budget: float) -> Known:
        """Let the list decide about ranked users if it treats whole clusters, for the same question.

        The score of one member does not tell what is decided about the cluster.
        """
        newest = self.newest
        if newest is None or newest.unit != "cluster" or newest.learner != learner:
            return self
        if not math.isclose(newest.budget, budget, rel_tol=1e-9):
            return self
        on_list = np.isin(self.listed["decision"], ("treat", "no_treat"))
        return replace(self, followed=on_list & (self.role == "ranked"))

    @property
    def by_score(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the score decides: about ranked users, and new ones of no known cluster."""
        return np.asarray([role in {"ranked", None} for role in self.role], np.bool_)

    def decide(self, score_treats: npt.NDArray[np.bool_], budget: float) -> npt.NDArray[np.bool_]:
        """Decide whom to treat, (n,): ranked users by score, explorers by chance, nobody else.

        The newest list says what the old rule, and chance near its cut, decided.
        """
        treat: npt.NDArray[np.bool_] = score_treats & self.by_score
        treat[self.followed] = self.listed["treated"][self.followed].astype(np.bool_)
        explores = self.role == "explore"
        if explores.any():
            treat[explores] = self._drawn(budget)[explores]
        by_list = np.isin(self.role.astype(str), BY_LIST)
        if by_list.any():
            treat[by_list] = [bool(treated) for treated in self.listed["treated"][by_list]]
        return treat

    def reasons(self, score_treats: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
        """Return each decision's reason, (n,) text: a suppression's reason, a role, or ``BY_SCORE``."""
        reasons = np.where(score_treats, *BY_SCORE).astype(object)
        reasons = np.where(self.by_score, reasons, self.role)
        reasons = np.where(self.followed, self.listed["reason"], reasons)
        return np.where(self.role == "suppressed", self.excluded_for, reasons)

    def _drawn(self, budget: float) -> npt.NDArray[np.bool_]:
        if self.explorers is not None:
            return self.explorers.treated(budget, self.draw, self.user_id)
        # Without a list the explorers have no order yet: treat a share of them equal to the budget.
        holdout, explore = self.shares
        return np.asarray(self.draw < holdout + explore * budget, np.bool_)


def today() -> date:
    """Return the date of a list that would be made now: lists use dates of UTC."""
    return datetime.now(UTC).date()


class KnownUsers:
    """The look-up of users by id, for one treatment arm. Immutable."""

    def __init__(
        self,
        snapshot: Snapshot,
        experiment: Experiment,
        arm: str,
        maybe_excluded: npt.NDArray[np.int64],
        register: Register,
    ) -> None:
        self._snapshot, self._maybe_excluded = snapshot, maybe_excluded
        self._register, self._scopes = register, scopes_of(experiment)
        self._has_copy = snapshot.has(REGISTERED)
        lists = snapshot.rows(NEWEST, {"experiment": experiment.name})
        about_arm = [row for row in lists if row["arm"] == arm]
        about_arm.sort(key=lambda row: row["campaign"] != arm)  # the campaign with the arm's name first
        shared = lists if experiment.decisions.draws == "experiment" else []
        row = next(iter([*about_arm, *shared]), None)
        rules = _rules(row, experiment, arm)
        self.newest = _newest(about_arm[0]) if about_arm else None
        self._binds = {
            "experiment": experiment.name,
            "campaign": self.newest.campaign if self.newest else arm,
        }
        self._cap = cap_binds(rules["contact_cap"], rules["cap_days"])
        self._shares = float(rules["holdout_share"]), float(rules["explore"])
        self._explorers = _explorers(snapshot, row, rules, experiment) if row else None
        names = ("salt", "holdout", "explore", "usual")
        values = (rules["salt"], *self._shares, float(rules["usual"]))
        # What the draws hash: a number, or the text of the declared cluster.
        self._name = experiment.name
        self.cluster: str | None = rules["cluster"]  # raw column; None: users are drawn
        self._drawn_type = pa.string() if self.cluster else pa.int64()
        schema = pa.schema([("drawn", self._drawn_type), ("is_excluded", pa.bool_())])
        sql = ROLES.format(drawn="drawn", rows=ROWS, usual=USUAL if rules["usual"] else "")
        variables = dict(zip(names, values, strict=True))
        self._roles = snapshot.prepared(sql, schema.empty_table(), variables)

    def look_up(self, users: Sequence[int]) -> Known:
        """Look up what is known about users of the snapshot."""
        distinct, place = np.unique(np.asarray(users, np.int64), return_inverse=True)
        drawn: Sequence[str] | npt.NDArray[np.int64] = distinct
        if self.cluster:
            drawn = self._snapshot.clusters(self._name, self.cluster, distinct)
        return self._known(distinct, drawn, self._why_excluded(distinct)).of(place)

    def new_members(self, clusters: Sequence[str | None]) -> Known:
        """Return what clusters say about users who are not in the snapshot; one at least is named.

        The role of a user whose cluster is None is None.
        """
        named = sorted({cluster for cluster in clusters if cluster is not None})
        place = {cluster: i for i, cluster in enumerate(named)}
        nobody, nothing = np.full(len(named), NOBODY), np.full(len(named), None, object)
        known = self._known(nobody, named, nothing)
        known = known.of(np.asarray([place.get(cluster or "", 0) for cluster in clusters]))
        known.role[[cluster is None for cluster in clusters]] = None
        return known

    def _known(
        self,
        users: npt.NDArray[np.int64],
        drawn: Sequence[str] | npt.NDArray[np.int64],
        excluded_for: npt.NDArray[np.object_],
    ) -> Known:
        is_excluded = np.asarray([reason is not None for reason in excluded_for])
        rows = {"drawn": pa.array(drawn, self._drawn_type), "is_excluded": is_excluded}
        roles, listed = self._roles.run(pa.table(rows)), self._on_list(users)
        role = np.asarray(roles["role"], object)
        # Whether a user is near the cut is known of the newest list alone.
        role[(role == "ranked") & (listed["decision"] == "explore_near")] = "explore_near"
        return Known(
            users,
            roles["draw"],
            role,
            excluded_for,
            listed,
            self.newest,
            self._explorers,
            self._shares,
            np.zeros(len(users), np.bool_),
        )

    def _why_excluded(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
        """Return why users must not be treated, (n,); the reasons' order is that of the batch's rule."""
        reasons, day = np.full(len(users), None, object), today()
        asks_register = self._register.exists  # else the copy counts that the newest list obeyed
        candidates = _among(users, self._maybe_excluded)
        if len(candidates):
            binds = self._binds | self._cap | {"today": day}
            excluded = self._snapshot.of_users(
                self._excluded(with_copy=not asks_register), binds, candidates
            )
            reasons[np.searchsorted(users, excluded["user_id"])] = excluded["reason"]
        if asks_register:
            for user, reason in self._registered(users, day).items():
                at = np.searchsorted(users, user)
                if reasons[at] in {None, CONTACT_CAP}:
                    reasons[at] = reason
        return reasons

    def _excluded(self, *, with_copy: bool) -> str:
        copy = f", with_register := {str(with_copy).lower()}" if self._has_copy else ""
        return f"select user_id, reason from decisions.excluded_users({CALL}{copy})"

    def _registered(self, users: npt.NDArray[np.int64], day: date) -> dict[int, str]:
        """Ask the register, as it is now.

        Raises:
            UnavailableError: it cannot be read, so that nobody knows who must not be treated.
        """
        try:
            return self._register.reasons(self._scopes, day, users.tolist())
        except RegisterError as error:
            raise UnavailableError(f"users by id cannot be decided about: {error}") from error

    def _on_list(self, users: npt.NDArray[np.int64]) -> Mapping[str, npt.NDArray[np.object_]]:
        names = ("decision", "treated", "rank", "reason")
        listed = {name: np.full(len(users), None, object) for name in names}
        published = users[users != NOBODY]
        if self.newest and len(published):
            rows = self._snapshot.of_users(LISTED, self._binds, published)
            at = np.searchsorted(users, rows["user_id"])
            for name in names:
                values = np.asarray(np.ma.getdata(rows[name]), object)
                values[np.ma.getmaskarray(rows[name])] = None
                listed[name][at] = values
        return listed


def maybe_excluded(snapshot: Snapshot, experiment: str) -> npt.NDArray[np.int64]:
    """Return ids of users who may be suppressed or over a contact cap, (m,), ascending.

    All other users are surely not excluded, but by the register.
    """
    names = ["decisions.suppressions", "decisions.contacts"]
    names += [REGISTERED] if snapshot.has(REGISTERED) else []
    tables = " union all ".join(f"select user_id from {n} where experiment = $experiment" for n in names)
    return snapshot.columns(MAYBE_EXCLUDED.format(tables=tables), {"experiment": experiment})["user_id"]


def _among(users: npt.NDArray[np.int64], ascending: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the users who are in ``ascending``, which may be very long: each is searched for."""
    if not len(ascending):
        return users[:0]
    at = np.minimum(np.searchsorted(ascending, users), len(ascending) - 1)
    return np.asarray(users[ascending[at] == users], np.int64)


def _newest(row: Mapping[str, Any]) -> NewestList:
    # The ledger has no rules of lists that earlier versions made; those lists were of exact size.
    recorded = row["cut"] is not None
    return NewestList(
        decision_date=row["decision_date"],
        campaign=row["campaign"],
        arm=row["arm"],
        learner=row["learner"],
        model_version=row["model_version"],
        budget=row["budget"] if recorded else row["realised_rate"],
        cut=row["cut"] if recorded else "size",
        unit=row.get("unit") or "user",
    )


def _rules(row: Mapping[str, Any] | None, experiment: Experiment, campaign: str) -> Mapping[str, Any]:
    """Return the values that users are drawn with: the newest list's, else those declared."""
    if row is not None and row["salt"] is not None:
        # Earlier versions publish no columns `cluster` and `usual`.
        later = {"cluster": row.get("cluster"), "unit": row.get("unit") or "user"}
        return {**row, **later, "usual": row.get("usual_share") or 0.0}
    declared, cap = experiment.decisions, experiment.decisions.contact_cap
    return {
        "salt": experiment.list_salt(campaign),
        "holdout_share": declared.holdout,
        "explore": declared.explore,
        "usual": declared.usual,
        "cluster": experiment.cluster or None,
        "unit": experiment.decision_unit,
        "contact_cap": cap.treatments if cap else None,
        "cap_days": cap.days if cap else None,
    }


def _explorers(
    snapshot: Snapshot, row: Mapping[str, Any], rules: Mapping[str, Any], experiment: Experiment
) -> Explorers:
    """Read a list's explorers, and how many users are ranked beside them.

    All users but the holdout and the suppressed are ranked, also in a list that divides money. If the
    budget is not filled with users who are not worth treating, these are not ranked.
    """
    binds = {name: row[name] for name in ("experiment", "campaign")} | {"salt": rules["salt"]}
    drawn_by, users = "user_id", "decisions.listed"
    if rules["cluster"]:
        drawn_by = snapshot.as_text(rules["cluster"])
        users += f" join {snapshot.listed_users(experiment.name)} using (user_id)"
    drawn = snapshot.columns(EXPLORERS.format(drawn=drawn_by, users=users), binds)
    (others,) = snapshot.rows(OTHER_LANES, {name: row[name] for name in ("experiment", "campaign")})
    filled = row["users"] - row["holdout"] - row["suppressed"] - others["usual"] - others["near"]
    eligible = row["eligible"] - others["able"] - others["near"]
    ranked = (filled if experiment.decisions.fill else eligible) - len(drawn["draw"])
    return Explorers(
        drawn["draw"],
        drawn["user_id"],
        row["users"],
        ranked,
        whole_clusters=rules["unit"] == "cluster",
        usual=others["able"],
        near=others["near"],
        usual_first=rules.get("usual_rule") not in {None, "", RANDOM, RESPONSE},
    )
