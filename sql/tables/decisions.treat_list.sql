/* What was decided about whom, night by night.  Grain: decision_date, experiment, user_id, arm. */
create table if not exists decisions.treat_list (
    decision_date date not null,
    experiment varchar not null,
    user_id bigint not null,
    arm varchar not null,
    decision varchar not null, -- treat, no_treat
    reason varchar not null, -- within_budget, beyond_budget
    score float not null,
    rank bigint not null, -- 1 is the best
    threshold float not null, -- of the same budget, from the held-out users
    budget double not null,
    learner varchar not null,
    model_version varchar not null
)
