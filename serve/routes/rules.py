"""``/rules``: rules to run in another system, as SQL, as JSON or as Python."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from serve import problems
from serve.dependencies import CurrentRelease
from serve.release import PublishedModel, Release
from serve.schemas.requests import Label
from uplift_core.targeting.carried_rules import chance_rule, cut_of, file_name, score_rule

TEXTS = "models.rule_texts"
READ = """
select written.rule, written.text, words, read.depth, gain_over_random, gain_std_error, learner_gain,
    learner_gain_std_error, share, share_std_error, verdict
from models.rule_texts as written
inner join models.rules as read on read.experiment = written.experiment and read.arm = written.arm
    and 'depth_' || read.depth = written.rule
left join evaluation.rules as judged on judged.experiment = read.experiment and judged.arm = read.arm
    and judged.depth = read.depth
where written.experiment = $experiment and written.arm = $arm and form = $form
order by read.depth
"""
SCORE = f"""
select learner, error, text from {TEXTS}
where experiment = $experiment and arm = $arm and form = $form and rule = 'score'
"""
router = APIRouter(tags=["evidence"], responses=problems.COMMON)


class Form(StrEnum):
    """What a rule is written for."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"
    BIGQUERY = "bigquery"
    SNOWFLAKE = "snowflake"
    JSON = "json"
    PYTHON = "python"


class Rule(BaseModel):
    """A rule that a person can read, written for another system, and its gain on held-out users."""

    model_config = ConfigDict(frozen=True)

    rule: str
    depth: int = Field(description="Largest number of questions about a user.")
    words: str
    file: str = Field(description="A name for the file, as in the export of a list.")
    text: str = Field(description="The file: its result is `chance`, that of the treatment.")
    gain: dict[str, Any] = Field(description="A row of evaluation.rules.")


class ScoreRule(BaseModel):
    """The score of the learner that decides, and whom to treat by it."""

    model_config = ConfigDict(frozen=True)

    learner: str
    budget: float
    threshold: float = Field(description="As /policy answers at this budget.")
    cut: float = Field(
        description="A little below the threshold: computed elsewhere, scores differ by some 1e-7."
    )
    file: str
    text: str = Field(description="The file: its results are `score` and `treat`.")


class CarriedRules(BaseModel):
    """The rules of one arm in one form. They read the features that /features describes."""

    model_config = ConfigDict(frozen=True)

    experiment: str
    arm: str
    form: Form
    rules: list[Rule] = Field(description="From simple to deep; empty if an earlier version trained.")
    score: ScoreRule | None = Field(
        description="Null unless asked for; and if its trees are too many, or the budget treats nobody."
    )


@router.get("/rules")
async def rules(
    release: CurrentRelease,
    experiment: Annotated[Label | None, Query()] = None,
    arm: Annotated[Label | None, Query()] = None,
    form: Annotated[Form, Query()] = Form.DUCKDB,
    score: Annotated[bool, Query(description="Also the score's rule: 200 to 600 kB.")] = False,  # noqa: FBT002
) -> CarriedRules:
    """Return the readable rules, and the score's, as SQL, as JSON or as Python."""
    return await run_in_threadpool(_rules, release, release.model(experiment), arm, form, score=score)


def _rules(
    release: Release, model: PublishedModel, arm: str | None, form: Form, *, score: bool
) -> CarriedRules:
    name, arm = model.experiment.name, model.arm(arm)
    binds = {"experiment": name, "arm": arm, "form": str(form)}
    rows = release.snapshot.rows_if_published(TEXTS, READ, binds)
    return CarriedRules(
        experiment=name,
        arm=arm,
        form=form,
        rules=[_rule(row, arm, form) for row in rows],
        score=_score(release, model, arm, form) if score else None,
    )


def _rule(row: dict[str, Any], arm: str, form: Form) -> Rule:
    named = {key: row.pop(key) for key in ("rule", "depth", "words")}
    text = chance_rule(row.pop("text"), form, named["words"], arm)
    return Rule(**named, file=file_name(arm, named["rule"], form), text=text, gain=row)


def _score(release: Release, model: PublishedModel, arm: str, form: Form) -> ScoreRule | None:
    name, learner = model.experiment.name, model.learner(None, arm)
    binds = {"experiment": name, "arm": arm, "form": str(form)}
    rows = release.snapshot.rows_if_published(TEXTS, SCORE, binds)
    if not rows or rows[0]["learner"] != learner:
        return None
    budget = model.experiment.defaults.budget
    threshold = float(release.snapshot.threshold(name, arm, learner, budget))
    if not math.isfinite(threshold):  # nobody is treated
        return None
    cut = cut_of(threshold, _below(release, name, arm, learner, threshold), rows[0]["error"])
    return ScoreRule(
        learner=learner,
        budget=budget,
        threshold=threshold,
        cut=cut,
        file=file_name(arm, "score", form),
        text=score_rule(rows[0]["text"], form, cut, arm, model.bundle.version),
    )


def _below(release: Release, name: str, arm: str, learner: str, threshold: float) -> float | None:
    """Return the best score below the threshold; None if there is none."""
    source = f'scores."{name}"'
    (row,) = release.snapshot.rows(
        f"select max(cate_{learner})::double as below from {source} "
        f"where arm = $arm and cate_{learner} < $threshold::float",
        {"arm": arm, "threshold": threshold},
    )
    below: float | None = row["below"]
    return below
