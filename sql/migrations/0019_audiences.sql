/* Users by baseline and predicted effect. */
create table if not exists evaluation.audiences (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    baseline varchar not null,
    predicted_effect varchar not null,
    n bigint not null,
    share double not null,
    response double not null,
    effect double not null,
    std_error double not null,
    listed double not null,
    listed_by_response double not null,
    listed_by_both double not null,
    primary key (experiment, arm, learner, baseline, predicted_effect)
);
