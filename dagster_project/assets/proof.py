"""Define the asset proof/evaluator: if the evaluator misses known truths, nothing is evaluated."""

# No postponed annotations here: Dagster reads an asset's annotations at run time.
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import dagster as dg
import numpy as np
import pyarrow as pa
from pydantic import Field

from dagster_project.assets.common import OWNERS
from dagster_project.evaluation.stored_proof import stored_or_new_proof
from dagster_project.reporting.markdown import markdown_table
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import WAREHOUSE_POOL, Engine
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import PROOF
from uplift_core.evaluation.coverage import Proof

COVERAGE = Identifier.of("evaluation", "coverage")
EVALUATOR = dg.AssetKey([PROOF, "evaluator"])


class ProofConfig(dg.Config):
    """The size of the simulation."""

    replications: int = Field(default=400, ge=300, description="simulated experiments of each design")
    users: int = Field(default=2000, ge=500, description="users of each experiment")


@dg.asset(
    key=EVALUATOR,
    group_name=PROOF,
    kinds={"python"},
    owners=OWNERS,
    pool=WAREHOUSE_POOL,
    description="How often the evaluator's 95 % intervals hold the truth, over simulated experiments "
    "with known effects; how often a test of equally good rankings rejects, and how often learners "
    "that are fitted and judged on one experiment beat random targeting or the response model where no "
    "effect differs. One row per design and claim.",
    check_specs=[
        dg.AssetCheckSpec(
            "holds",
            asset=EVALUATOR,
            blocking=True,
            description="Every share is within three Monte-Carlo errors of what it should be.",
        )
    ],
)
def evaluator(
    context: dg.AssetExecutionContext, config: ProofConfig, engine: Engine
) -> Iterator[dg.MaterializeResult]:
    """Prove the evaluator on known truth."""
    proofs, was_stored = stored_or_new_proof(engine.paths.proofs, config.replications, config.users)
    rows = [
        {k: None if v != v else v for k, v in asdict(p).items()} | {"experiment": PROOF}  # noqa: PLR0124 - NaN
        for p in proofs
    ]
    failed = [
        f"{p.design}: {p.claim} {p.share:.3f} where it should be {p.nominal:.2f}"
        for p in proofs
        if not p.holds
    ]
    failure = f"{len(failed)} of {len(proofs)} claims do not hold: {'; '.join(failed)}" if failed else ""
    with engine.warehouse() as db:
        db.replace_rows(COVERAGE, {"experiment": PROOF}, pa.Table.from_pylist(rows))
        metadata = describe_table(db, COVERAGE) | {"coverage": dg.MetadataValue.md(_table(proofs))}
    note = ", as an earlier run with this code and these libraries showed" if was_stored else ""
    context.log.info(
        f"{PROOF}/evaluator: {len(proofs) - len(failed)} of {len(proofs)} claims hold{note}"
    )
    yield dg.MaterializeResult(
        metadata=metadata,
        check_results=[
            dg.AssetCheckResult(
                check_name="holds",
                passed=not failed,
                description=failure,
                metadata={"failed": failed},
            )
        ],
    )
    if failed:
        raise dg.Failure(f"{PROOF}/evaluator, check holds: {failure}", allow_retries=False)


def _table(proofs: Sequence[Proof]) -> str:
    head = [
        "design",
        "claim",
        "truth",
        "mean estimate",
        "how often ± one standard error",
        "should be",
        "holds",
    ]
    return markdown_table(
        head,
        [
            (
                p.design,
                p.claim,
                "" if np.isnan(p.truth) else f"{p.truth:.5f}",
                "" if np.isnan(p.mean) else f"{p.mean:.5f}",
                f"{p.share:.3f} ± {p.monte_carlo_error:.3f}",
                f"{p.nominal:.2f}",
                "yes" if p.holds else "NO",
            )
            for p in proofs
        ],
    )
