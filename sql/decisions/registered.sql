/* Users of an experiment whom the register of consent keeps out on a day, by the entry that does so longest.
   Grain: user_id.  Inputs: the register's entries about the experiment and about all; scores.<experiment>.
   Bound: $experiment; $decision_date, in UTC.
   Register.longest says the same of few users: of each scope the last entry holds; of equally long ones, the
   experiment's. */
with last as (
    from {{ entries }}
    where user_id in (select scores.user_id from {{ scores }} as scores)
    qualify row_number() over (partition by user_id, experiment order by entry desc) = 1
)

select
    {{ bind.experiment }} as experiment,
    user_id,
    reason,
    until::date as until,
    entry,
    experiment = '' as for_all,
    made_by,
    made_at::timestamp as made_at
from last
where action = 'suppress' and (until is null or until::date >= {{ bind.decision_date }}::date)
qualify
    row_number() over (
        partition by user_id order by coalesce(until::date, '9999-12-31'::date) desc, experiment desc
    ) = 1
