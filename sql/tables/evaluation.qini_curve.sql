/* Points of each learner's Qini curve, at most 1,001.  Grain: experiment, arm, outcome, learner, targeted. */
create table if not exists evaluation.qini_curve (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    targeted double not null, -- number of targeted users, best first
    incremental double not null, -- additional outcomes of these users by the treatment
    std_error double not null -- standard error of incremental, point by point
)
