/* Rules that a person can read, and what they gain. */
create table if not exists models.rules (
    experiment varchar not null,
    arm varchar not null,
    depth integer not null,
    model_version varchar not null,
    budget double not null,
    words varchar not null,
    sql varchar not null,
    conditions varchar not null,
    tree varchar not null,
    shortfall double not null,
    primary key (experiment, arm, depth)
);
create table if not exists evaluation.rules (
    experiment varchar not null,
    arm varchar not null,
    depth integer not null,
    learner varchar not null,
    budget double not null,
    n bigint not null,
    gain_over_random double not null,
    gain_std_error double not null,
    learner_gain double not null,
    learner_gain_std_error double not null,
    difference double not null,
    difference_std_error double not null,
    verdict varchar not null,
    share double,
    share_std_error double,
    primary key (experiment, arm, depth)
);
create table if not exists evaluation.rule_leaves (
    experiment varchar not null,
    arm varchar not null,
    depth integer not null,
    leaf integer not null,
    segment varchar not null,
    treated double not null,
    n bigint not null,
    effect double,
    std_error double,
    primary key (experiment, arm, depth, leaf)
);
