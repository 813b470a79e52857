/* Counts of the faults in a file of outcomes.
   Grain: one row.  Inputs: the file's rows (user_id, y), decisions.treat_list.
   Bound: $decision_date, $experiment, $campaign; $binary, true if outcomes must be 0 or 1; $counted, true if
   they must be whole numbers from 0. */
with list as (
    select user_id
    from {{ treat_list }}
    where decision_date = {{ bind.decision_date }}::date
        and experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
),

matched as (
    select
        outcomes.user_id,
        list.user_id as listed,
        coalesce(
            isfinite(outcomes.y)
            and (not {{ bind.binary }} or outcomes.y in (0, 1))
            and (not {{ bind.counted }} or (outcomes.y >= 0 and outcomes.y = floor(outcomes.y))),
            false
        ) as sound
    from {{ outcome_rows }} as outcomes
    full outer join list using (user_id)
)

select
    count(user_id) - count(distinct user_id) as repeated,
    count(user_id) filter (listed is null) as unknown,
    min(user_id) filter (listed is null) as first_unknown,
    count(user_id) filter (not sound) as odd,
    min(user_id) filter (not sound) as first_odd,
    count(*) filter (user_id is null) as absent
from matched
