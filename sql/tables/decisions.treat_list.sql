/* The ledger of decisions.  Grain: decision_date, experiment, campaign, user_id. */
create table if not exists decisions.treat_list (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null, -- what the list is for; one arm each
    user_id bigint not null,
    arm varchar not null, -- the list's, in every row; who is treated with it says treated
    decision varchar not null, -- treat, no_treat, holdout, explore or suppressed
    reason varchar not null, -- why: within_budget, above_threshold, holdout, contact_cap and others
    treated boolean not null, -- whether the user is to be treated
    selected boolean not null, -- whether the score chooses the user; who of them is held out measures the list
    score float not null, -- by the learner that decides
    rank bigint, -- place in the order in which users are treated; null for who cannot be
    threshold float not null, -- held-out score from which on users are treated at this budget
    budget double not null, -- share of users
    cost double not null, -- of treating this user
    value double, -- of one unit of the outcome with this user; null where none is declared
    propensity double not null, -- chance that this user would be treated, before the draws
    learner varchar not null,
    model_version varchar not null,
    feature_snapshot varchar not null -- of the source file and the feature SQL that were scored
)
