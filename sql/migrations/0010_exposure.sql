/* Complier effects, and the expected reach of lists, of experiments that declare an exposure. */
create table if not exists evaluation.complier_effects (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    split varchar not null,
    estimator varchar not null,
    reached_treated double not null,
    reached_treated_std_error double not null,
    reached_control double not null,
    itt double not null,
    itt_std_error double not null,
    first_stage double not null,
    first_stage_std_error double not null,
    first_stage_f double,
    verdict varchar not null,
    effect double,
    std_error double,
    ci_low double,
    ci_high double,
    n bigint not null,
    clusters bigint,
    primary key (experiment, arm, outcome, split, estimator)
);
alter table decisions.nights add column if not exists reach double;
alter table decisions.nights add column if not exists reach_std_error double;
