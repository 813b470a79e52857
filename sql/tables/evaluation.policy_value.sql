/* Mean outcome per held-out user if the best share `budget` is treated, and what that adds to a
   random share of the same size.  Grain: experiment, arm, outcome, learner, estimator, budget. */
create table if not exists evaluation.policy_value (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    estimator varchar not null, -- aipw: doubly robust; ipw: inverse propensity weighting
    budget double not null,
    value double not null,
    std_error double not null,
    random_value double not null,
    gain_over_random double not null,
    gain_std_error double not null,
    n bigint not null,
    primary key (experiment, arm, outcome, learner, estimator, budget)
)
