/* Results of the gates that each night's list had to pass before it was written.
   Grain: decision_date, experiment, campaign, gate. */
create table if not exists decisions.gates (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    gate varchar not null, -- name of the check, such as sample_ratio, threshold_rate or guardrail_<event>
    passed boolean not null,
    value double, -- measured value; null: nothing to compare with
    "limit" double not null, -- allowed value
    message varchar not null, -- the result in words
    primary key (decision_date, experiment, campaign, gate)
)
