/* A campaign's list of one night as it is handed out.
   Grain: user_id.  Inputs: decisions.treat_list.  Bound: $decision_date, $experiment, $campaign. */
select *
from {{ treat_list }}
where decision_date = {{ bind.decision_date }}::date
    and experiment = {{ bind.experiment }}
    and campaign = {{ bind.campaign }}
order by rank nulls last, user_id
