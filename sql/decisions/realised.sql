/* Measured outcomes of a night's list: treated users compared with users of the holdout group whom the list would
   have treated, and treated explorers compared with the whole holdout group.
   Grain: comparison.  Inputs: decisions.treat_list, the night's outcomes (user_id, y).
   Bound: $decision_date, $experiment, $campaign. */
with measured as (
    select
        list.decision,
        list.selected,
        list.treated,
        list.reason,
        outcomes.y
    from {{ treat_list }} as list
    inner join {{ outcome_rows }} as outcomes using (user_id)
    where list.decision_date = {{ bind.decision_date }}::date
        and list.experiment = {{ bind.experiment }}
        and list.campaign = {{ bind.campaign }}
),

compared as (
    select
        'list' as comparison,
        treated,
        y
    from measured
    where selected and decision in ('treat', 'holdout')
    union all
    select
        'explore' as comparison,
        treated,
        y
    from measured
    -- Explorers reach their cap whatever their score, so a holdout user's cap, which depends on the score, is ignored.
    where (decision = 'explore' and treated) or (decision = 'holdout' and reason in ('holdout', 'contact_cap'))
)

select
    comparison,
    count(*) filter (treated) as n_treated,
    count(*) filter (not treated) as n_control,
    avg(y) filter (treated) as mean_treated,
    avg(y) filter (not treated) as mean_control,
    var_samp(y) filter (treated) as variance_treated,
    var_samp(y) filter (not treated) as variance_control
from compared
group by comparison
order by comparison
