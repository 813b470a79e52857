/* Each campaign's newest list, in the order of user ids, so that one user is found fast.
   Grain: experiment, campaign, user_id. */
create table if not exists decisions.listed (
    experiment varchar not null,
    campaign varchar not null,
    user_id bigint not null,
    decision_date date not null,
    arm varchar not null, -- arm to treat with
    decision varchar not null, -- treat, no_treat, holdout, explore, suppressed, usual or explore_near
    treated boolean not null, -- true if the user is to be treated
    rank bigint, -- position in the order of treatment; null for users who cannot be treated
    reason varchar not null -- as in decisions.treat_list
)
