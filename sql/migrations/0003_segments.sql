/* Effects by segment, and the average effect without a model. */
create table if not exists evaluation.average_effects (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    split varchar not null,
    mean_treated double not null,
    mean_control double not null,
    effect double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    largest_share double not null,
    unreliable boolean not null,
    n bigint not null,
    primary key (experiment, arm, outcome, split)
);
create table if not exists evaluation.segments (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    feature varchar not null,
    position integer not null,
    segment varchar not null,
    low double,
    high double,
    n bigint not null,
    effect double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    difference double not null,
    difference_std_error double not null,
    p_value double,
    q_value double,
    primary key (experiment, arm, outcome, feature, position)
);
