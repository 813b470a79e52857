"""Prove the evaluator with any number of replications: do 95 % intervals contain the truth?

python -m bench.coverage --replications 1000
"""

from __future__ import annotations

import argparse

from uplift_core.evaluation.coverage import prove


def main() -> None:
    """Run the proof and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--replications", type=int, default=400)
    parser.add_argument("--users", type=int, default=2_000, help="of each replication")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{given.replications} replications of {given.users:,} users; ± one Monte-Carlo error")
    print(f"{'design':20} {'claim':26} {'truth':>9} {'mean':>9} {'share':>15} {'should be':>9}")
    for p in prove(given.replications, given.users, seed=given.seed):
        share = f"{p.share:.3f} ± {p.monte_carlo_error:.3f}"
        word = "" if p.holds else "  FAILS"
        print(
            f"{p.design:20} {p.claim:26} {p.truth:9.5f} {p.mean:9.5f} {share:>15} {p.nominal:9.2f}{word}"
        )


if __name__ == "__main__":
    main()
