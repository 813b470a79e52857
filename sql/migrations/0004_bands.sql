/* Bands of whole curves, and what is found if the arms are permuted. */
create table if not exists evaluation.bands (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    curve varchar not null,
    budget double not null,
    value double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    band_low double not null,
    band_high double not null,
    critical double not null,
    n bigint not null,
    primary key (experiment, arm, outcome, learner, curve, budget)
);
create table if not exists evaluation.placebo (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    run integer not null,
    learner varchar not null,
    z_over_random double not null,
    z_over_response double not null,
    opens boolean not null,
    p_value double not null,
    n bigint not null,
    primary key (experiment, arm, outcome, run)
);
