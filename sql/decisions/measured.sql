/* Outcomes of one list's compared users, with the default outcome that the response models expect of each.
   Grain: user_id.  Inputs: decisions.treat_list, the night's outcomes (user_id, y), and the users' scores.
   Bound: $decision_date, $experiment, $campaign, $outcome; $provisional, true before the window has closed.
   Each arm has a response model. Their mean is taken, so that treated and holdout users are
   predicted alike, whatever arm the list has for them. */
with compared as (
    select
        list.user_id,
        list.decision,
        list.selected,
        list.usual_selected,
        outcomes.y
    from {{ treat_list }} as list
    inner join {{ outcome_rows }} as outcomes using (user_id)
    where list.decision_date = {{ bind.decision_date }}::date
        and list.experiment = {{ bind.experiment }}
        and list.campaign = {{ bind.campaign }}
        and (
            (list.decision = 'treat' and list.selected)
            or (list.decision = 'explore' and list.treated)
            -- Explorers reach their cap whatever their score, so a holdout user's cap is ignored.
            -- Users about whom old rule and score agree have the same outcome under both, and would be noise.
            or (list.decision = 'usual' and coalesce(list.usual_selected <> list.selected, list.treated))
            or (list.decision = 'no_treat' and list.usual_selected and not list.selected)
            or (list.decision = 'holdout' and list.reason in ('holdout', 'contact_cap'))
        )
),

predicted as (
    select
        user_id,
        avg({{ response }})::double as expected
    from {{ scores }}
    group by user_id
)

select
    {{ bind.decision_date }}::date as decision_date,
    {{ bind.experiment }}::varchar as experiment,
    {{ bind.campaign }}::varchar as campaign,
    {{ bind.outcome }}::varchar as outcome,
    compared.user_id,
    if(compared.decision = 'no_treat', 'untreated', compared.decision) as part,
    compared.selected,
    compared.usual_selected,
    compared.y,
    predicted.expected,
    {{ bind.provisional }}::boolean as provisional
from compared
left join predicted using (user_id)
order by compared.user_id
