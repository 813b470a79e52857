/* The users' outcomes of measured lists, and what a campaign realised over its nights. */
create table if not exists decisions.measured (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    outcome varchar not null,
    user_id bigint not null,
    part varchar not null,
    selected boolean not null,
    y double not null,
    expected double
);
create table if not exists decisions.realised_over_time (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    outcome varchar not null,
    comparison varchar not null,
    first_date date not null,
    nights bigint not null,
    treatments bigint not null,
    n_treated bigint not null,
    n_control bigint not null,
    uplift double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    sequence_low double not null,
    sequence_high double not null,
    unadjusted double not null,
    unadjusted_std_error double not null,
    coefficient double not null,
    variance double not null,
    promised double,
    promised_std_error double,
    agrees boolean,
    clusters bigint,
    primary key (decision_date, experiment, campaign, outcome, comparison)
);
