/* Totals of one night's list.
   Grain: one row.  Inputs: decisions.treat_list.  Bound: $decision_date, $experiment, $campaign. */
with tonight as (
    from {{ treat_list }}
    where decision_date = {{ bind.decision_date }}::date
        and experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
)

select
    any_value(arm) as arm,
    any_value(learner) as learner,
    any_value(model_version) as model_version,
    any_value(feature_snapshot) as feature_snapshot,
    any_value(threshold) as threshold,
    count(*) as users,
    count(rank) as eligible,
    count(*) filter (treated) as treated,
    count(*) filter (treated and decision = 'explore') as explored,
    count(*) filter (treated and decision = 'explore_near') as explored_near,
    count(*) filter (treated and decision = 'usual') as usual,
    count(*) filter (decision = 'holdout') as holdout,
    count(*) filter (decision = 'suppressed') as suppressed,
    coalesce(sum(cost) filter (treated), 0) as spent,
    count(*) filter (score >= threshold) as above_threshold
from tonight
