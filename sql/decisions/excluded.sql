/* Who must not be treated in one night's list.
   Grain: user_id.  Inputs: decisions.suppressions, decisions.treat_list (earlier nights, and the same night's
   other campaigns).
   Bound: $decision_date, $experiment, $campaign; $cap and $cap_days, at most so many treatments in so many days.

   A user of the holdout who would have been treated counts for the contact cap as if they had been: the two
   groups stay comparable night after night. */
with stopped as (
    select
        user_id,
        reason
    from {{ suppressions }}
    where experiment = {{ bind.experiment }} and (until is null or until >= {{ bind.decision_date }}::date)
),

contacted as (
    select
        user_id,
        'contact_cap' as reason
    from {{ treat_list }}
    where experiment = {{ bind.experiment }}
        and (treated or (decision = 'holdout' and selected))
        and decision_date > {{ bind.decision_date }}::date - {{ bind.cap_days }}::integer
        and (
            decision_date < {{ bind.decision_date }}::date
            or (decision_date = {{ bind.decision_date }}::date and campaign <> {{ bind.campaign }})
        )
    group by user_id
    having count(*) >= {{ bind.cap }}
)

select
    user_id,
    min_by(reason, reason = 'contact_cap') as reason
from (
    from stopped
    union all
    from contacted
) as found
group by user_id
