/* Treatments that may count for a contact cap still: of users who have had as many as a cap allows.  A user of the
   holdout who would have been treated counts as if they had been.
   Grain: decision_date, experiment, campaign, user_id. */
create table if not exists decisions.contacts (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    user_id bigint not null
)
