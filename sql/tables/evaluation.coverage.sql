/* The proof of the evaluator: how often its intervals contain a known truth, over simulated experiments.
   Grain: experiment (always 'proof'), design, claim. */
create table if not exists evaluation.coverage (
    experiment varchar not null, -- always proof
    design varchar not null, -- design of the simulated experiments
    claim varchar not null, -- covers <figure>, paired test rejects, gate opens
    truth double, -- true value; null for tests
    mean double, -- mean of the estimates; null for tests
    share double not null, -- share of experiments in which the claim happened
    nominal double not null, -- share in which it should happen; for the gate, the largest share
    monte_carlo_error double not null, -- standard error of the share, if the nominal share is right
    replications bigint not null, -- number of simulated experiments
    holds boolean not null, -- true if share is within three Monte-Carlo errors of nominal
    primary key (experiment, design, claim)
)
