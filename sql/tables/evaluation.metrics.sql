/* Figures of each learner.  Grain: experiment, arm, outcome, learner, metric, split.
   Metrics are ate and ate_ipw, mean_if_all_treated, mean_if_none_treated, autoc, qini, qini_auc, auuc,
   uplift_at_<percent> and uplift_at_<percent>_by_group, calibration_slope.
   The standard error is null if none is known for the metric. */
create table if not exists evaluation.metrics (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    metric varchar not null, -- name of the figure; the comment of the table lists them
    split varchar not null, -- holdout: figures come from users that trained no model
    value double not null, -- value of the metric
    std_error double,
    ci_low double,
    ci_high double,
    n bigint not null, -- users behind the figure
    clusters bigint,
    primary key (experiment, arm, outcome, learner, metric, split)
)
