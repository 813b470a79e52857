/* Each campaign's newest list, in the order of users: for who asks about one of them.
   Grain: experiment, campaign, user_id. */
create table if not exists decisions.listed (
    experiment varchar not null,
    campaign varchar not null,
    user_id bigint not null,
    decision_date date not null,
    arm varchar not null, -- to treat with
    decision varchar not null, -- treat, no_treat, holdout, explore or suppressed
    treated boolean not null, -- whether the user is to be treated
    rank bigint, -- place in the order in which users are treated; null for who cannot be
    reason varchar not null -- as in decisions.treat_list
)
