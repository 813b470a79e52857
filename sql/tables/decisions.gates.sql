/* What was asked of each night before it could leave the house.  Grain: decision_date, experiment, campaign, gate. */
create table if not exists decisions.gates (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    gate varchar not null, -- which gate: sample_ratio, list_change, realised_rate, threshold_rate or evidence
    passed boolean not null,
    value double, -- what was found; null: nothing to compare with
    "limit" double not null, -- what was allowed
    message varchar not null, -- the same in words
    primary key (decision_date, experiment, campaign, gate)
)
