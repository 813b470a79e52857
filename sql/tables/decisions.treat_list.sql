/* The ledger of decisions.  Grain: decision_date, experiment, user_id, arm. */
create table if not exists decisions.treat_list (
    decision_date date not null,
    experiment varchar not null,
    user_id bigint not null,
    arm varchar not null,
    decision varchar not null, -- treat, no_treat, holdout, explore or suppressed
    reason varchar not null,
    treated boolean not null, -- whether the user is to be treated
    score float not null,
    rank bigint, -- place in the order in which users are treated; null for holdout and suppressed
    threshold float not null, -- held-out score from which on users are treated at this budget
    budget double not null, -- share of users
    cost double not null, -- of treating this user
    propensity double not null, -- chance that this user would be treated, before the draws
    learner varchar not null,
    model_version varchar not null
)
