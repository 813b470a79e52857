/* Share of users whom a list treats for their score, by score.
   Grain: score.  Inputs: decisions.treat_list.  Bound: $decision_date, $experiment, $campaign. */
select
    score,
    count(*) filter (decision = 'treat') / count(*) as share
from {{ treat_list }}
where decision_date = {{ bind.decision_date }}::date
    and experiment = {{ bind.experiment }}
    and campaign = {{ bind.campaign }}
group by score
order by score
