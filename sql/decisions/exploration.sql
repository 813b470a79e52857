/* By how much exploration lowers the treated share of users, by score: where chance decides in place of the score.
   Grain: score.  Inputs: decisions.treat_list.
   Bound: $decision_date, $experiment, $campaign; $explore, the share of explorers, and $explore_share, their treated
   share; $near and $near_share, the same of users near the cut; $band_low and $band_high, the scores between which they
   are. */
with chosen as (
    select
        score,
        count(*) filter (decision not in ('holdout', 'suppressed')) / count(*) as listed,
        avg(selected::int) filter (decision not in ('holdout', 'suppressed', 'usual')) as selected,
        score >= {{ bind.band_low }}::float and score < {{ bind.band_high }}::float as near_cut
    from {{ treat_list }}
    where decision_date = {{ bind.decision_date }}::date
        and experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
    group by score
)

select
    score,
    coalesce(listed * (
        {{ bind.explore }} * (selected - {{ bind.explore_share }})
        + if(near_cut, {{ bind.near }} * (selected - {{ bind.near_share }}), 0)
    ), 0)::double as share
from chosen
order by score
