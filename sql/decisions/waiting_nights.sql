/* Nights whose outcomes are to be measured, or measured again.
   Grain: decision_date.  Inputs: decisions.nights, decisions.realised, decisions.treat_list.
   Bound: $experiment; $until, the newest moment that arrived; $since, the oldest moment that is new; $days, the longest
   window.
   A night waits if some of its time has passed, and it has no figures, or provisional ones, or ones that new rows
   change. */
with measured as (
    select
        decision_date,
        bool_or(coalesce(provisional, false)) as provisional
    from decisions.realised
    where experiment = {{ bind.experiment }}
    group by decision_date
)

select distinct nights.decision_date::varchar as decision_date
from decisions.nights as nights
left join measured using (decision_date)
where nights.experiment = {{ bind.experiment }}
    and nights.decision_date < {{ bind.until }}::timestamp
    and (
        coalesce(measured.provisional, true)
        or nights.decision_date + {{ bind.days }}::integer > {{ bind.since }}::timestamp
    )
    and exists (
        select 1
        from {{ treat_list }} as list
        where list.experiment = nights.experiment
            and list.decision_date = nights.decision_date
    )
order by nights.decision_date
