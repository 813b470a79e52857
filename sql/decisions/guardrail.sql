/* How often an event befell the treated users of a campaign, by what was measured before a date.
   Grain: one row.  Inputs: decisions.measured.
   Bound: $experiment, $campaign, $outcome; $decision_date, the date; $limit, the accepted share of treatments.
   Nights count before their windows have closed, too: they can only have more events later. A user's deviations from
   the limit are added up before they are squared. */
with treatments as (
    select
        user_id,
        y,
        decision_date = min(decision_date) over () as at_first
    from decisions.measured
    where experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
        and outcome = {{ bind.outcome }}
        and decision_date < {{ bind.decision_date }}::date
        and part in ('treat', 'explore')
),

by_user as (
    select
        count(*) as treatments,
        count(*) filter (at_first) as at_first,
        sum(y) as events,
        sum(y - {{ bind.limit }}) as deviation
    from treatments
    group by user_id
)

select
    coalesce(sum(treatments), 0)::bigint as treatments,
    coalesce(sum(at_first), 0)::bigint as at_first,
    coalesce(sum(events), 0)::double as events,
    coalesce(sum(deviation * deviation), 0)::double as squares
from by_user
