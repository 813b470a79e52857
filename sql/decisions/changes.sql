/* Users who entered or left a campaign's list since the previous one; where each user's arm is chosen, users who
   changed arms, too, with both arms.
   Grain: user_id.  Inputs: decisions.treat_list.
   Bound: $decision_date, $experiment, $campaign, $previous_date (null: everybody enters). */
with listed as (
    select
        decision_date,
        user_id
        {%- if arms %},
            arm
        {%- endif %}
    from {{ treat_list }}
    where experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
        and treated
        and decision_date in ({{ bind.decision_date }}::date, {{ bind.previous_date }}::date)
)

{% if arms %}
    select
        user_id,
        case
            when count(*) > 1 then 'arm'
            when max(decision_date) = {{ bind.decision_date }}::date then 'enter'
            else 'exit'
        end as change,
        any_value(arm) filter (decision_date = {{ bind.decision_date }}::date) as arm,
        any_value(arm) filter (decision_date = {{ bind.previous_date }}::date) as previous_arm
    from listed
    group by user_id
    having count(*) = 1 or min(arm) <> max(arm)
{% else %}
    select
        user_id,
        case max(decision_date) when {{ bind.decision_date }}::date then 'enter' else 'exit' end as change
    from listed
    group by user_id
    having count(*) = 1
{% endif %}
