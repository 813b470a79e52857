"""Write the model card: what a model version is, the evidence for it, and its limits."""

from __future__ import annotations

from dagster_project.declared.experiment import COUNTED, ESTIMATED, BatchExperiment
from dagster_project.evaluation.arms_section import arms_section
from dagster_project.evaluation.complier_effects import MEANS, SCORES, WEAK
from dagster_project.evaluation.lists_section import lists_section
from dagster_project.evaluation.stored_plots import records, rows_of_arm
from dagster_project.reporting.markdown import markdown_table, with_error
from dagster_project.training.cells import features_of
from dagster_project.training.registry import REGISTRY, current_version, deciding_learner
from dagster_project.warehouse.connection import Warehouse
from uplift_core.evaluation.clusters import LEAST_CLUSTERS
from uplift_core.evaluation.complier import WEAK_F
from uplift_core.evaluation.tables import NAMES, Row, Rows

Q_LEVEL = 0.05
MOST_SEGMENTS = 10  # rows of the card's table


def write_card(db: Warehouse, experiment: BatchExperiment, images: dict[tuple[str, str], str]) -> str:
    """Write the card as Markdown; ``images`` maps (arm, plot) to the Markdown of an image."""
    declaration, defaults = experiment.declaration, experiment.declaration.defaults
    version = current_version(db, experiment.name)
    registry = records(
        db,
        f"select * from {REGISTRY} where experiment = $experiment and is_current order by arm, learner",
        {"experiment": experiment.name},
    )
    first = registry[0]
    parts = [
        f"# {version}",
        f"{declaration.title}. {declaration.description}",
        (
            f"Predicts the effect on *{first['outcome']}* of each arm against '{declaration.control}'. "
            "Trained on the train split; held-out users "
            f"({declaration.split.holdout:.0%} of users) report and chose nothing."
        ),
    ]
    if declaration.propensities == "estimate":
        parts.append(f"**Warning**: {ESTIMATED}.")
    if declaration.strata_shares == "counted":
        parts.append(f"**Warning**: {COUNTED}.")
    if declaration.weight:
        parts.append(
            f"Users weigh as '{declaration.weight}' says: figures are those of the population that the "
            "sample stands for. Lists and budgets count users."
        )
    for arm in declaration.treatments:
        arm_rows = [row for row in registry if row["arm"] == arm]
        parts += [f"## {arm}", *_arm(db, experiment, arm, arm_rows)]
        parts += [images[key] for key in images if key[0] == arm]
    parts += arms_section(db, experiment, version)
    parts += lists_section(db, experiment)
    parts += [
        "## What it is made of",
        markdown_table(
            ["", ""],
            [
                ("features", ", ".join(features_of(db, experiment))),
                ("parameters", f"`{first['parameters']}`"),
                ("source file, sha256", first["data_sha256"]),
                ("SQL, sha256", first["sql_sha256"]),
                ("bundle, sha256", first["bundle_sha256"]),
                ("libraries", first["libraries"]),
                ("split", f"salt '{declaration.split.salt}', {declaration.split.folds} folds"),
            ],
        ),
        "## Where it should not be used",
        (
            "On users unlike the experiment's, for another treatment, or where users influence each "
            "other: none of that was randomized. Figures hold for the time of the experiment; effects "
            "fade and change. A list or a score at a budget far from "
            f"{defaults.budget:.0%} was not what the learners were compared at."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _over_nobody(row: Row) -> str:
    if row["gain_over_nobody"] is None:  # models of earlier versions
        return ""
    return with_error(row["gain_over_nobody"], row["gain_over_nobody_std_error"], sign=True)


def _arm(db: Warehouse, experiment: BatchExperiment, arm: str, registry: Rows) -> list[str]:
    """Write an arm's section: the decision, the evidence inside train, the figures on held-out users."""
    defaults = experiment.declaration.defaults
    decides = deciding_learner(db, experiment, arm)
    word = next(row for row in registry if row["learner"] == decides)
    how = "the champion" if word["champion"] else "by declaration, not the champion"
    evidence = markdown_table(
        [
            "learner",
            "gain over random",
            "gain over the response model",
            "gain over nobody, before costs",
            "",
        ],
        [
            (
                NAMES[row["learner"]],
                with_error(row["gain_over_random"], row["gain_over_random_std_error"], sign=True),
                with_error(row["gain_over_response"], row["gain_over_response_std_error"], sign=True),
                _over_nobody(row),
                "champion" if row["champion"] else "runner-up" if row["runner_up"] else "",
            )
            for row in registry
        ],
    )
    return [
        (
            f"**{NAMES[decides]} decides** ({how}). The gate: **{word['gate']}**. "
            f"{word['gate_reason']} With these users, a gain of {word['detectable_gain']:.5f} "
            "over random would show with 80 % power."
        ),
        (
            f"Inside train, out of fold, {word['n']:,} users, {word['budget']:.0%} treated, "
            f"{defaults.outcome} per user ± one standard error:"
        ),
        evidence,
        "On held-out users, ± one standard error:",
        _holdout_table(db, experiment, arm),
        *_average_effect(rows_of_arm(db, "average_effects", experiment, arm)),
        *_complier_effect(rows_of_arm(db, "complier_effects", experiment, arm)),
        *_segments(rows_of_arm(db, "segments", experiment, arm)),
        *_rules(db, experiment, arm),
        *_placebo(rows_of_arm(db, "placebo", experiment, arm)),
    ]


def _average_effect(rows: Rows) -> list[str]:
    """Show the average effect of all users beside that of the held-out ones."""
    by_split = {row["split"]: row for row in rows}
    if not {"all", "holdout"} <= by_split.keys():
        return []
    everybody, held_out = by_split["all"], by_split["holdout"]
    outcome = everybody["outcome"]
    of_all, of_held_out = (
        with_error(row["effect"], row["std_error"], sign=True) for row in (everybody, held_out)
    )
    text = (
        f"The average effect on {outcome}, as the difference in means, is {of_all} per user of all "
        f"{_counted(everybody)}, and {of_held_out} of the {_counted(held_out, 'held-out ')}."
    )
    if held_out["unreliable"]:
        text += f" **Intervals of {outcome} are unreliable**: {_reason(held_out)}."
    text += "".join(
        f" With {outcome} capped at {row['cap_high']:g}, the effect is "
        f"{with_error(row['capped_effect'], row['capped_std_error'], sign=True)} per user of {who}."
        for row, who in ((everybody, "all users"), (held_out, "the held-out ones"))
        if row["capped_effect"] is not None
    )
    return [text]


def _complier_effect(rows: Rows) -> list[str]:
    """Show the effect on users whom the assignment reaches, if the experiment declares an exposure."""
    if not rows:
        return []
    shown = {(row["split"], row["estimator"]): row for row in rows}
    everybody, held_out = shown["all", MEANS], shown["holdout", SCORES]
    reached = with_error(everybody["reached_treated"], everybody["reached_treated_std_error"])
    text = (
        f"The treatment reached {reached} of the arm's users and {everybody['reached_control']:.5f} of "
        "the control's. "
    )
    if everybody["verdict"] == WEAK:
        return [
            (
                f"{text}That differs too little to tell the effect of being reached: F = "
                f"{everybody['first_stage_f'] or 0:.1f} of the first stage, below {WEAK_F:g}."
            )
        ]
    of_held_out = (
        "weakly identified"
        if held_out["verdict"] == WEAK
        else with_error(held_out["effect"], held_out["std_error"], sign=True)
    )
    effect = with_error(everybody["effect"], everybody["std_error"], sign=True)
    return [
        (
            f"{text}The average effect of being reached on {everybody['outcome']}, of users whom the "
            f"assignment reaches, is {effect} of all users and {of_held_out} of the held-out ones "
            "(doubly robust). Scores and figures above are effects of the assignment."
        )
    ]


def _counted(row: Row, which: str = "") -> str:
    """Tell the number of users and, if they are in clusters, of clusters."""
    clusters = f" in {row['clusters']:,} clusters" if row["clusters"] else ""
    return f"{row['n']:,} {which}users{clusters}"


def _reason(row: Row) -> str:
    """Tell why intervals are too narrow."""
    share = f"{row['largest_share']:.0%}"
    if not row["clusters"]:
        return f"a single held-out user makes up {share} of its variance in an arm"
    if row["clusters"] < LEAST_CLUSTERS:
        return (
            f"held-out users are in {row['clusters']} clusters, and with fewer than {LEAST_CLUSTERS} "
            "standard errors are too small"
        )
    return f"a single cluster makes up {share} of the effect's variance"


def _placebo(rows: Rows) -> list[str]:
    """Tell how the champion's z compares with those of permuted arms, if the run permuted them."""
    if not rows:
        return []
    drawn = next(row for row in rows if row["run"] == 0)
    opened = sum(row["opens"] for row in rows if row["run"])
    text = (
        f"With the arms permuted {len(rows) - 1} times, the gate opened {opened} times. The champion's "
        f"z over random, {drawn['z_over_random']:.2f} at a third of the rounds, has p = "
        f"{drawn['p_value']:.3g} among them: that is the null of no effect on anyone."
    )
    return [text]


def _segments(rows: Rows) -> list[str]:
    """Show the segments whose effect differs from the rest, by q value."""
    tested = [row for row in rows if row["q_value"] is not None]
    differing = sorted((r for r in tested if r["q_value"] < Q_LEVEL), key=lambda row: row["q_value"])
    if not differing:
        return [f"Of {len(tested)} segments, none is shown to differ from the rest (q < {Q_LEVEL:g})."]
    table = markdown_table(
        ["segment", "users", "effect", "difference from the rest", "q value"],
        [
            (
                f"{row['feature']}: {row['segment']}",
                f"{row['n']:,}",
                with_error(row["effect"], row["std_error"], sign=True),
                with_error(row["difference"], row["difference_std_error"], sign=True),
                f"{row['q_value']:.2g}",
            )
            for row in differing[:MOST_SEGMENTS]
        ],
    )
    text = (
        f"Of {len(tested)} segments, {len(differing)} differ from the rest of the held-out users "
        f"(q < {Q_LEVEL:g}: about {Q_LEVEL:.0%} of them at most are expected to be false findings):"
    )
    return [text, table]


def _rules(db: Warehouse, experiment: BatchExperiment, arm: str) -> list[str]:
    """Show the rules that a person can read, with their gain beside that of the scores."""
    rules = records(
        db,
        "select judged.*, rule.words from evaluation.rules as judged "
        "inner join models.rules as rule using (experiment, arm, depth) "
        "where experiment = $experiment and arm = $arm order by depth",
        {"experiment": experiment.name, "arm": arm},
    )
    if not rules:
        return []
    told = []
    for row in rules:
        gain = with_error(row["gain_over_random"], row["gain_std_error"], sign=True)
        less = with_error(row["difference"], row["difference_std_error"], sign=True)
        told.append(
            f"- With at most {row['depth']} of them: {row['words']} Gain over random {gain}, "
            f"less that of the scores {less}: {row['verdict']}."
        )
    return ["Rules of a few questions, learned in train, on held-out users:", "\n".join(told)]


def _holdout_table(db: Warehouse, experiment: BatchExperiment, arm: str) -> str:
    policy = {
        row["learner"]: row
        for row in rows_of_arm(db, "policy_value", experiment, arm)
        if row["estimator"] == "aipw" and row["budget"] == experiment.declaration.defaults.budget
    }
    metrics = {
        (row["learner"], row["metric"]): with_error(row["value"], row["std_error"], digits=4)
        for row in rows_of_arm(db, "metrics", experiment, arm)
    }
    head = ["learner", "value", "gain over random", "AUTOC", "Qini", "calibration slope"]
    return markdown_table(
        head,
        [
            (
                NAMES[name],
                with_error(row["value"], row["std_error"]),
                with_error(row["gain_over_random"], row["gain_std_error"], sign=True),
                *(metrics.get((name, m), "") for m in ("autoc", "qini_auc", "calibration_slope")),
            )
            for name, row in policy.items()
        ],
    )
