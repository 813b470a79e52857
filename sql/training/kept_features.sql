/* Features of users who may be treated, as they stand on a night.
   Grain: feature_snapshot, user_id.  Inputs: features.<experiment>, or those of its population.
   Bound: $feature_snapshot. */
select
    {{ bind.feature_snapshot }}::varchar as feature_snapshot,
    *
from {{ features }}
