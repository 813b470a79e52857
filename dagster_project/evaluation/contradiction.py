"""Correct the word of each learner's gate by what held-out users say."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.registry import REGISTRY
from dagster_project.warehouse.connection import Warehouse
from uplift_core.evaluation.contradiction import contradiction
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.gate import status

CONTRADICTED = " Held-out users contradict that: "  # gate_reason continues with the contradiction

HELD_OUT = f"""
select model.arm, model.learner, model.champion, model.gate, model.gate_reason, model.events,
    model.z_over_random, model.critical_over_random, model.z_over_response, model.critical_over_response,
    model.procedure_gain, model.procedure_gain_std_error, policy.gain_over_random, policy.gain_std_error
from {REGISTRY} as model
inner join evaluation.policy_value as policy using (experiment, arm, outcome, learner, budget)
where model.experiment = $experiment and model.is_current and policy.estimator = 'aipw'
order by model.arm, model.learner
"""


def write_contradictions(db: Warehouse, experiment: BatchExperiment) -> list[str]:
    """Write the word ``contradicted``, and why, to ``models.registry`` where held-out users contradict.

    Call it after each evaluation: a word that is no longer contradicted becomes what it was before.

    Returns:
        A sentence about each learner that is contradicted.
    """
    messages = []
    for row in db.arrow(HELD_OUT, {"experiment": experiment.name}).to_pylist():
        if row["events"] is None:  # the version was trained before these tests existed
            continue
        held_out = Estimate(row["gain_over_random"], row["gain_std_error"])
        procedure = Estimate(row["procedure_gain"], row["procedure_gain_std_error"])
        against = contradiction(held_out, procedure if row["champion"] else None)
        tests = [(row[f"z_over_{of}"], row[f"critical_over_{of}"]) for of in ("random", "response")]
        word = "contradicted" if against else status(tests, row["events"])
        reason, _, _ = row["gate_reason"].partition(CONTRADICTED)
        if against:
            reason += CONTRADICTED + against
            messages.append(f"{row['arm']}, '{row['learner']}': {against}")
        db.rows(
            f"update {REGISTRY} set gate = $word, gate_reason = $reason where is_current "
            "and experiment = $experiment and arm = $arm and learner = $learner",
            {
                "word": word,
                "reason": reason,
                "experiment": experiment.name,
                "arm": row["arm"],
                "learner": row["learner"],
            },
        )
    return messages
