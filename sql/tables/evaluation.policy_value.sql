/* Mean outcome per held-out user if the best share `budget` is treated, and its gain over a random share of the
   same size.  Grain: experiment, arm, outcome, learner, estimator, budget. */
create table if not exists evaluation.policy_value (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    estimator varchar not null, -- aipw: doubly robust; ipw: inverse propensity weighting
    budget double not null,
    value double not null, -- mean outcome per user
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    random_value double not null, -- mean outcome per user if as many users are treated at random
    gain_over_random double not null, -- value minus random_value
    gain_std_error double not null, -- standard error of gain_over_random
    incremental double, -- gain over treating nobody; only aipw
    incremental_std_error double,
    net_value double, -- incremental in money, minus the cost; null unless the declaration has both
    net_std_error double, -- standard error of net_value
    n bigint not null, -- held-out users of the arm and the control
    clusters bigint,
    incremental_covariance double[], -- covariance of incremental with that at each budget; only aipw, and with clusters
    primary key (experiment, arm, outcome, learner, estimator, budget)
)
