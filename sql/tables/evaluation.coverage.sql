/* The evaluator's own proof: how often its intervals hold a known truth, over simulated experiments.
   Grain: experiment (always 'proof'), design, claim. */
create table if not exists evaluation.coverage (
    experiment varchar not null,
    design varchar not null,
    claim varchar not null, -- covers <figure>, paired test rejects, gate opens
    truth double, -- null for tests
    mean double, -- of the estimates; null for tests
    share double not null, -- how often it happened
    nominal double not null, -- how often it should; for the gate, at most
    monte_carlo_error double not null, -- of the share, if it happens as it should
    replications bigint not null,
    holds boolean not null,
    primary key (experiment, design, claim)
)
