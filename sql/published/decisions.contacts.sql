/* Treatments that a contact cap may still count, of users who have reached a cap.  A holdout user who would have
   been treated counts as treated.
   Grain: decision_date, experiment, campaign, user_id. */
create table if not exists decisions.contacts (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    user_id bigint not null
)
