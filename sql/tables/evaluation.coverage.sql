/* The evaluator's own proof: how often its intervals hold a known truth, over simulated experiments.
   Grain: experiment (always 'proof'), design, claim. */
create table if not exists evaluation.coverage (
    experiment varchar not null, -- always proof
    design varchar not null, -- of the simulated experiments
    claim varchar not null, -- covers <figure>, paired test rejects, learner beats random or response, gate opens
    truth double, -- null for tests
    mean double, -- of the estimates; null for tests
    share double not null, -- how often it happened
    nominal double not null, -- how often it should; of learners and the gate, at most
    monte_carlo_error double not null, -- of the share, if it happens as it should
    replications bigint not null, -- simulated experiments
    holds boolean not null, -- whether share is within three Monte-Carlo errors of nominal
    primary key (experiment, design, claim)
)
