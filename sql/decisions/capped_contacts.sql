/* Treatments of users who have reached a contact cap.
   Grain: decision_date, campaign, user_id.  Inputs: decisions.contacts.
   Bound: $experiment; $since, the day before the first day that counts; $cap, treatments that the cap allows. */
with recent as (
    select *
    from {{ contacts }}
    where experiment = {{ bind.experiment }} and decision_date > {{ bind.since }}::date
),

often as (
    select user_id
    from recent
    group by user_id
    having count(*) >= {{ bind.cap }}
)

select recent.*
from recent
inner join often using (user_id)
order by user_id, recent.decision_date
