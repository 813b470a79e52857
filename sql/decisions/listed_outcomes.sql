/* What happened to each user of a list in the window of an outcome; 0 where nothing did.
   Grain: user_id.  Inputs: decisions.treat_list, decisions.outcomes.
   Bound: $decision_date, $experiment, $campaign, $outcome; $days, the length of the window; $binary, true if an outcome
   is 0 or 1 however often it happens. */
with happened as (
    select
        user_id,
        -- A list adds in the order of moments, so no sum depends on the order in which files arrived.
        list_sum(list(y order by moment)) as total
    from decisions.outcomes
    where experiment = {{ bind.experiment }}
        and outcome = {{ bind.outcome }}
        and moment >= {{ bind.decision_date }}::date
        and moment < {{ bind.decision_date }}::date + {{ bind.days }}::integer
    group by user_id
)

select
    list.user_id,
    case
        when {{ bind.binary }} then (coalesce(happened.total, 0) > 0)::integer
        else coalesce(happened.total, 0)
    end::double as y
from {{ treat_list }} as list
left join happened using (user_id)
where list.decision_date = {{ bind.decision_date }}::date
    and list.experiment = {{ bind.experiment }}
    and list.campaign = {{ bind.campaign }}
