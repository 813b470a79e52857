/* Agreement of this project's learners with econml's on held-out users.
   Grain: experiment, arm, outcome, learner, tier, metric. */
create table if not exists evaluation.crosscheck (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    tier integer not null, -- 1: equal folds and models; 2: econml draws its own folds
    metric varchar not null, -- max_abs_difference, spearman, spearman_own_folds (the noise floor)
    value double not null, -- value of the metric
    n bigint not null, -- held-out users compared
    primary key (experiment, arm, outcome, learner, tier, metric)
)
