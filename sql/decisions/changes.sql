/* Users who entered or left a campaign's list since the previous one.
   Grain: user_id.  Inputs: decisions.treat_list.
   Bound: $decision_date, $experiment, $campaign, $previous_date (null: everybody enters). */
with listed as (
    select
        decision_date,
        user_id
    from {{ treat_list }}
    where experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
        and treated
        and decision_date in ({{ bind.decision_date }}::date, {{ bind.previous_date }}::date)
)

select
    user_id,
    case max(decision_date) when {{ bind.decision_date }}::date then 'enter' else 'exit' end as change
from listed
group by user_id
having count(*) = 1
