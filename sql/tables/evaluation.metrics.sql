/* Figures of each learner.  Grain: experiment, arm, outcome, learner, metric, split.
   No standard error is given (null) where none is known for the metric. */
create table if not exists evaluation.metrics (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    metric varchar not null,
    split varchar not null,
    value double not null,
    std_error double,
    ci_low double, -- 95 %
    ci_high double, -- 95 %
    n bigint not null, -- users behind the figure
    primary key (experiment, arm, outcome, learner, metric, split)
)
