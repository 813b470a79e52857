/* What was asked of each night before it could leave the house.  Grain: decision_date, experiment, campaign, gate. */
create table if not exists decisions.gates (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    gate varchar not null,
    passed boolean not null,
    value double, -- null: nothing to compare with
    "limit" double not null,
    message varchar not null,
    primary key (decision_date, experiment, campaign, gate)
)
