/* What a list that chooses each user's arm gives, promises and does by arm, and who changed arms. */
create table if not exists decisions.night_arms (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    arm varchar not null,
    treated bigint not null,
    explored bigint not null,
    spent double not null,
    max_users bigint,
    max_money double,
    changed bigint not null,
    promised double,
    promised_std_error double,
    primary key (decision_date, experiment, campaign, arm)
);
create table if not exists decisions.realised_arms (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    outcome varchar not null,
    comparison varchar not null,
    arm varchar not null,
    n_treated bigint not null,
    n_control bigint not null,
    mean_treated double not null,
    mean_control double not null,
    uplift double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    promised double,
    promised_std_error double,
    agrees boolean,
    primary key (decision_date, experiment, campaign, outcome, comparison, arm)
);
alter table decisions.nights add column if not exists changed_arm bigint;
