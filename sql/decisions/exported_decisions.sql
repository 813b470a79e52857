/* All decisions of a campaign's list of one night as they are handed out; an arm stands beside who is treated with it
   alone.
   Grain: user_id.  Inputs: decisions.treat_list.  Bound: $decision_date, $experiment, $campaign. */
select
    user_id,
    * exclude (user_id) replace (if(treated, arm, null) as arm)
from {{ treat_list }}
where decision_date = {{ bind.decision_date }}::date
    and experiment = {{ bind.experiment }}
    and campaign = {{ bind.campaign }}
order by rank nulls last, user_id
