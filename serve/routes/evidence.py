"""``/evidence`` and ``/lists``: the evaluation of the scores, and the last nights' lists."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from serve import problems
from serve.dependencies import CurrentRelease
from serve.release import Release
from serve.routes.batch import QueryTarget
from serve.routes.policy import Outcome
from serve.schemas.requests import Label, Target

CURVE_POINTS = 200
WORD = "model.gate as evidence, model.gate_reason as evidence_reason"
# A list of an earlier version has no recorded rules; its users were chosen by score.
CHOSEN_BY = "if(rules.holdout + rules.explore >= 1, 'chance', 'score') as chosen_by"
BY_RULES = "left join decisions.list_rules as rules using (decision_date, experiment, campaign)"
BY_LEARNER = "left join models.registry as model using (model_version, experiment, arm, learner)"
RULES = """
select judged.*, rule.words, rule.sql, rule.conditions
from evaluation.rules as judged
inner join models.rules as rule using (experiment, arm, depth)
where experiment = $experiment and arm = $arm
order by depth
"""
Row = dict[str, Any]
router = APIRouter(tags=["evidence"], responses=problems.COMMON)


class Evidence(BaseModel):
    """Rows of the evaluation tables for one arm and outcome, on held-out users."""

    model_config = ConfigDict(frozen=True)

    experiment: str
    arm: str
    learner: str
    outcome: str
    gate: Row | None = Field(description="The result of the learner's gate, from models.registry.")
    metrics: list[Row]
    qini_curve: list[Row] = Field(
        description=f"Of the learner and the response model, at most about {CURVE_POINTS} points each."
    )
    bands: list[Row] = Field(
        description="Of the learner: Qini, TOC, policy value and gain by budget. ci_low and ci_high "
        "hold the truth in 95 % of experiments at each budget, band_low and band_high at all at once."
    )
    deciles: list[Row]
    calibration: list[Row]
    comparisons: list[Row] = Field(
        description="Of the learner with every other; each verdict allows 5 % error per comparison."
    )
    placebo: list[Row] = Field(
        description="The champion's z with permuted arms; run 0 has the arms as drawn, and their p "
        "value. Empty unless a run was configured to permute them."
    )
    average_effects: list[Row] = Field(
        description="Differences in mean outcome of all users, and of train and held-out users."
    )
    complier_effects: list[Row] = Field(
        description="Effects on users whom the assignment reaches, if the experiment declares an "
        "exposure; effect is null where verdict is weak."
    )
    segments: list[Row] = Field(
        description="Effects by level or fifth of each feature, compared with all other held-out users."
    )
    audiences: list[Row] = Field(
        description="Held-out users by predicted outcome without treatment and by predicted effect, the "
        "effect as measured, and how far lists by the learner and by the response model agree."
    )
    features: dict[str, str] = Field(description="What each feature is, from its SQL.")
    rules: list[Row] = Field(
        description="Rules that a person can read, in words, SQL and JSON, and their gain on held-out "
        "users beside that of the scores."
    )
    rule_leaves: list[Row] = Field(description="Who is in these rules' leaves, and the effect there.")
    crosscheck: list[Row] = Field(description="Every learner compared with econml.")
    proof: list[Row] = Field(description="How often the evaluator's intervals contain a known truth.")


class Lists(BaseModel):
    """The last nights of an experiment's lists, the newest first."""

    model_config = ConfigDict(frozen=True)

    experiment: str
    nights: list[Row] = Field(
        description="With the result of the deciding learner's gate: evidence, evidence_reason. "
        "chosen_by is chance where [decisions] when_not_proven lets chance draw the treated users, "
        "else score."
    )
    gates: list[Row] = Field(
        description="The checks of the newest night: of each list, before it was written."
    )
    evidence: list[Row] = Field(
        description="For each list of the newest night: whether acting on its scores is shown to pay, "
        "and how many users would be needed to show it."
    )
    counts: list[Row] = Field(description="Users of the newest night by decision and reason.")
    best: list[Row] = Field(description="The first ten users of each of the newest night's lists.")
    realised: list[Row] = Field(description="Measured effects of lists whose outcomes are known.")
    arms: list[Row] = Field(
        description="What the newest night's lists that choose each user's arm give and promise by arm."
    )
    realised_arms: list[Row] = Field(description="Measured effects by arm of such lists.")


@router.get("/evidence")
async def evidence(release: CurrentRelease, target: QueryTarget, outcome: Outcome = None) -> Evidence:
    """Return curves, deciles, calibration, comparisons, effects, segments, cross-check and proof."""
    return await run_in_threadpool(_evidence, release, target, outcome)


def _evidence(release: Release, target: Target, outcome: str | None) -> Evidence:
    model = release.model(target.experiment)
    arm, measured = model.arm(target.arm), model.outcome(outcome)
    learner = model.learner(target.learner, arm)
    name = model.experiment.name
    where = "where experiment = $experiment and arm = $arm and outcome = $outcome"
    of_learner = f"{where} and learner in ($learner, 'response')"
    about = {"experiment": name, "arm": arm}
    contrast = about | {"outcome": measured}
    binds = contrast | {"learner": learner}
    rows = release.snapshot.rows
    gate = rows(
        "select learner, gate, gate_reason, needed_users, detectable_gain, budget, n "
        "from models.registry where model_version = $version and arm = $arm and learner = $learner",
        {"version": model.bundle.version, "arm": arm, "learner": learner},
    )
    curve = (
        "select learner, targeted, incremental, std_error from ("
        "select *, row_number() over (partition by learner order by targeted) as place, "
        f"count(*) over (partition by learner) as points from evaluation.qini_curve {of_learner}) "
        "where place = 1 or place = points or "
        f"place * {CURVE_POINTS} // points <> (place - 1) * {CURVE_POINTS} // points "
        "order by learner, targeted"
    )
    return Evidence(
        experiment=name,
        arm=arm,
        learner=learner,
        outcome=measured,
        gate=gate[0] if gate else None,
        metrics=rows(f"from evaluation.metrics {where} order by learner, metric", contrast),
        qini_curve=rows(curve, binds),
        bands=release.snapshot.rows_if_published(
            "evaluation.bands",
            f"from evaluation.bands {where} and learner = $learner order by curve, budget",
            binds,
        ),
        deciles=rows(f"from evaluation.deciles {of_learner} order by learner, decile", binds),
        calibration=rows(
            f"from evaluation.calibration {where} and learner = $learner order by quantile", binds
        ),
        comparisons=rows(
            f"from evaluation.comparisons {where} and learner = $learner order by metric, other", binds
        ),
        placebo=release.snapshot.rows_if_published(
            "evaluation.placebo", f"from evaluation.placebo {where} order by run", contrast
        ),
        average_effects=release.snapshot.rows_if_published(
            "evaluation.average_effects",
            f"from evaluation.average_effects {where} order by split",
            contrast,
        ),
        complier_effects=release.snapshot.rows_if_published(
            "evaluation.complier_effects",
            f"from evaluation.complier_effects {where} order by split, estimator",
            contrast,
        ),
        segments=release.snapshot.rows_if_published(
            "evaluation.segments",
            f"from evaluation.segments {where} order by q_value nulls last, p_value, feature, position",
            contrast,
        ),
        audiences=release.snapshot.rows_if_published(
            "evaluation.audiences",
            f"from evaluation.audiences {where} and learner = $learner "
            "order by baseline desc, predicted_effect desc",
            binds,
        ),
        features={
            row["name"]: row["description"]
            for row in rows(
                "select name, description from features.registry where experiment = $experiment "
                "order by position",
                {"experiment": name},
            )
        },
        rules=release.snapshot.rows_if_published("evaluation.rules", RULES, about),
        rule_leaves=release.snapshot.rows_if_published(
            "evaluation.rule_leaves",
            "from evaluation.rule_leaves where experiment = $experiment and arm = $arm "
            "order by depth, leaf",
            about,
        ),
        crosscheck=rows(
            "from evaluation.crosscheck where experiment = $experiment and arm = $arm order by all",
            about,
        ),
        proof=rows("from evaluation.coverage order by all"),
    )


@router.get("/lists")
async def lists(release: CurrentRelease, experiment: Annotated[Label | None, Query()] = None) -> Lists:
    """Return what the nightly lists were to do, promised and did; empty if there are none."""
    return await run_in_threadpool(_lists, release, release.model(experiment).experiment.name)


def _lists(release: Release, name: str) -> Lists:
    rows, binds = release.snapshot.rows, {"experiment": name}
    nights = rows(
        f"select night.*, {WORD}, {CHOSEN_BY} from decisions.nights as night {BY_LEARNER} {BY_RULES} "
        "where experiment = $experiment order by decision_date desc, campaign limit 60",
        binds,
    )
    newest = binds | {"night": nights[0]["decision_date"] if nights else None}
    tonight = "where experiment = $experiment and decision_date = $night"
    return Lists(
        experiment=name,
        nights=nights,
        gates=rows(f"from decisions.gates {tonight} order by campaign, gate", newest),
        evidence=rows(
            f"select campaign, arm, learner, {WORD}, needed_users "
            f"from decisions.nights as night {BY_LEARNER} "
            "where experiment = $experiment and decision_date = $night order by all",
            newest,
        ),
        counts=rows(
            "select campaign, decision, reason, count(*) as users, "
            f"count(*) filter (treated) as treated from decisions.treat_list {tonight} "
            "group by all order by all",
            newest,
        ),
        best=rows(
            f"select campaign, rank, user_id, arm, decision, score, propensity, {WORD} "
            f"from (from decisions.treat_list {tonight} and rank <= 10) as list {BY_LEARNER} "
            "order by campaign, rank",
            newest,
        ),
        realised=rows(
            "from decisions.realised where experiment = $experiment "
            "order by decision_date desc, campaign, outcome, comparison limit 60",
            binds,
        ),
        arms=release.snapshot.rows_if_published(
            "decisions.night_arms",
            f"from decisions.night_arms {tonight} order by campaign, arm",
            newest,
        ),
        realised_arms=release.snapshot.rows_if_published(
            "decisions.realised_arms",
            "from decisions.realised_arms where experiment = $experiment "
            "order by decision_date desc, campaign, outcome, comparison, arm limit 180",
            binds,
        ),
    )
