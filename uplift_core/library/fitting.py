"""Fit all learners on a table in memory: the split, learners, comparison and gate are those of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import ValidationError

from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.boosting.side_by_side import after_each, call_all
from uplift_core.cells import BinEdges, Cells
from uplift_core.errors import DataError
from uplift_core.evaluation.procedure import judge_users
from uplift_core.evaluation.tables import BUDGETS
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.messages import readable
from uplift_core.learners.contrast import ContrastModel, fit_learners, fits_of_contrast
from uplift_core.learners.nuisance import ArmModels, FittedModels, OutcomeModels
from uplift_core.library.design import Design, Shares, declare
from uplift_core.library.encoding import Encoding
from uplift_core.library.evaluation import Evidence
from uplift_core.library.frames import Frame, read_frame
from uplift_core.library.model import Model
from uplift_core.library.prices import Cost, Value
from uplift_core.library.telling import Log, Teller, teller
from uplift_core.library.users import Users

SMALLEST_GAP = 1e-9  # between a budget and its whole percent


def fit(  # noqa: PLR0913 - the columns of a table, and what a declaration holds
    frame: Frame,
    *,
    arm: str,
    outcome: str | Sequence[str],
    features: Sequence[str],
    control: Any,
    shares: Shares | Literal["counted"] | None = None,
    propensity: str | float | None = None,
    strata: str | Sequence[str] | None = None,
    cluster: str | None = None,
    id: str | None = None,  # noqa: A002 - the name of the column
    cost: Cost | None = None,
    value: Value | None = None,
    budget: float = 0.3,
    holdout: float = 0.3,
    folds: int = 5,
    salt: str = "uplift",
    parameters: LearnerParameters | Mapping[str, Any] | None = None,
    bags: int | None = None,
    threads: int = 0,
    name: str = "library",
    verbose: bool | Log = False,
) -> Model:
    """Learn from a randomized experiment what each arm changes for whom.

    Args:
        frame: one row per user: a pandas, Polars or Arrow table, a DuckDB relation, columns by name, or
            the path of a Parquet file.
        arm: column of the arm that each user was assigned to.
        outcome: column of the outcome, numbers; 0 and 1 alone are a binary outcome. Of several columns
            learners learn the first, and the others are evaluated under the same lists.
        features: columns that were known before the treatment: numbers, booleans, texts or categories;
            missing values are allowed.
        control: value of ``arm`` under control.
        shares: value of ``arm`` -> share of users by design, which add up to 1 (``1/3``, ``"1/3"``);
            with ``strata``, value of the stratum (a tuple for several columns) -> such shares.
            ``"counted"`` takes the shares of the table: figures then have no guarantee of a design.
        propensity: for one treatment, the chance of it by design: one number, or the column with each
            user's.
        strata: column or columns within which arms were drawn; without ``shares`` each stratum's share
            is counted, which is its design if users were drawn in blocks.
        cluster: column of the unit that was assigned as a whole, or shares outcomes, as a household.
        id: column with the users' ids. They decide the split; without them the row's number does.
        cost: cost of treating a user, in money: one number, value of ``arm`` -> number, or the column
            with each user's in the tables that ``Model.decide`` takes.
        value: value of one unit of the outcome, in the same money: a number, column of an outcome ->
            number, or a column, likewise.
        budget: share of users at which learners are compared, in whole percent.
        holdout: share of users who are held out for the evaluation.
        folds: number of folds for cross-fitting and for the comparison of learners, 3 to 20.
        salt: text that makes the split; another salt gives another split.
        parameters: parameters of the boosters, or those that differ from the defaults.
        bags: number of bootstrap samples of users that the learner that decides is fitted on, 2 to 200;
            its effects are then their means, and ``Model.effect_std_error`` knows how far they differ.
            0 for none; by default that of ``parameters``.
        threads: number of threads; 0 means all cores.
        name: name of the experiment in what is saved, lower-case letters, digits and underscores.
        verbose: whether progress is shown on the console, or a function that takes messages of it.

    Returns:
        The fitted model.

    Raises:
        DataError: a column, a value or a share is missing or wrong; names it, and the remedy.
    """
    if abs(budget - round(budget, 2)) > SMALLEST_GAP or round(budget, 2) not in BUDGETS[:-1]:
        raise DataError(f"budget: {budget:g} must be a share in whole percent, from 0.01 to 0.99")
    outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    if not outcomes or len(set(outcomes)) < len(outcomes):
        raise DataError(f"outcome: {list(outcomes)} must name one column or more, each once")
    design = Design(arm, control, outcomes, shares, propensity, strata, cluster, id, cost, value)
    taken = set(features) & {arm, *outcomes, cluster, id}
    if taken:
        raise DataError(f"features: {sorted(taken)} are the arm, the outcome, the cluster or the id")
    table = read_frame(frame, [*features, *design.columns])
    encoding = Encoding.learn(table, features)
    grown = _parameters(parameters, bags)
    experiment = declare(
        table,
        design,
        name=name,
        budget=round(budget, 2),
        split={"holdout": holdout, "folds": folds, "salt": salt},
        learners=grown,
    )
    users = Users.of(table, experiment, encoding)
    users.refuse_other_shares(experiment)
    return fit_users(users, experiment, encoding, threads=threads, tell=teller(verbose))


def _parameters(
    given: LearnerParameters | Mapping[str, Any] | None, bags: int | None
) -> LearnerParameters:
    try:
        parameters = LearnerParameters.model_validate(given or {})
        changed = {} if bags is None else {"bags": bags}
        return LearnerParameters.model_validate(parameters.model_dump() | changed)
    except ValidationError as error:
        raise DataError(f"parameters: {readable(error, LearnerParameters)}") from error


def fit_users(
    users: Users, experiment: Experiment, encoding: Encoding, *, threads: int, tell: Teller
) -> Model:
    """Fit and judge the learners of every arm on the train users, as ``training.fitting`` of a run."""
    train = users.at(~users.holdout)
    if not len(train.y) or len(train.y) == len(users.y):
        raise DataError("frame: has too few users to hold some of them out; give more users")
    parameters, budget = experiment.learners, experiment.defaults.budget
    edges = BinEdges.of(encoding.features, train.x, parameters.max_bins)
    of_control: dict[str, FittedModels] = {outcome.name: {} for outcome in experiment.outcomes}
    contrasts: dict[str, ContrastModel] = {}
    evidence: dict[str, Evidence] = {}
    for arm in experiment.treatments:
        binned = train.contrast(experiment, arm, edges)
        tell.say(
            f"{arm}: training on {len(binned.y):,} users, {len(binned.x):,} combinations of features"
        )
        total = fits_of_contrast(experiment.split.folds, parameters.bags) + 2 * len(train.others)
        with tell.step(arm, total) as done, after_each(done):
            shared = of_control[experiment.defaults.outcome]
            fitted = fit_learners(OutcomeModels.of(binned.cells(), parameters, threads, shared))
            others = {}
            for outcome in train.others:
                of_outcome = train.contrast(experiment, arm, edges, outcome).cells()
                others[outcome] = _fit_outcome(of_outcome, parameters, threads, of_control[outcome])
            contrasts[arm] = replace(fitted, others=others)
            verdict = judge_users(
                binned, budget=budget, parameters=parameters, threads=threads, of_control=shared
            )
        evidence[arm] = Evidence.of(verdict)
        tell.say(f"{arm}: {verdict.champion} decides; the gate: {verdict.word}")
    return Model(experiment, encoding, edges, contrasts, evidence, users.sha256, users)


def _fit_outcome(
    cells: Cells, parameters: LearnerParameters, threads: int, of_control: FittedModels
) -> ArmModels:
    """Fit both arms' models of an outcome that is evaluated, and not learned."""
    models = OutcomeModels.of(cells, parameters, threads, of_control)
    call_all(models.fits(pooled=False), models.fitter.workers)
    return models.arms()
