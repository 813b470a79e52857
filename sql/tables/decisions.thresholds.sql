/* The lowest score that is treated, by budget, from the held-out users.
   Grain: model_version, arm, learner, budget. */
create table if not exists decisions.thresholds (
    model_version varchar not null,
    experiment varchar not null,
    arm varchar not null,
    learner varchar not null,
    budget double not null,
    threshold float not null,
    treated_share double not null, -- share of held-out users at or above the threshold; ties can exceed the budget
    n bigint not null, -- held-out users
    primary key (model_version, arm, learner, budget)
)
