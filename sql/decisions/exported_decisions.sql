/* All decisions of a campaign's list of one night for the export; arm is null for users who are not treated.
   Grain: user_id.  Inputs: decisions.treat_list.  Bound: $decision_date, $experiment, $campaign. */
select
    user_id,
    * exclude (user_id) replace (if(treated, arm, null) as arm)
from {{ treat_list }}
where decision_date = {{ bind.decision_date }}::date
    and experiment = {{ bind.experiment }}
    and campaign = {{ bind.campaign }}
order by rank nulls last, user_id
