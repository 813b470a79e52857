/* A campaign's list of one night in the order of user ids.
   Grain: user_id.  Inputs: decisions.treat_list.  Bound: $decision_date, $experiment, $campaign. */
select
    {{ bind.experiment }}::varchar as experiment,
    {{ bind.campaign }}::varchar as campaign,
    {{ bind.decision_date }}::date as decision_date,
    *
from (
    select
        user_id,
        arm,
        decision,
        treated,
        rank,
        reason
    from {{ treat_list }}
    where decision_date = {{ bind.decision_date }}::date
        and experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
    order by user_id
) as list
