/* Users to treat in a campaign of one night, in the order of treatment: users within the budget, and explorers
   whom chance chose.
   Grain: user_id.  Inputs: decisions.treat_list.  Bound: $decision_date, $experiment, $campaign. */
select
    user_id,
    arm,
    campaign,
    decision_date,
    rank
from {{ treat_list }}
where decision_date = {{ bind.decision_date }}::date
    and experiment = {{ bind.experiment }}
    and campaign = {{ bind.campaign }}
    and treated
order by rank
