/* Lower edges of one feature's bins: every distinct value of the train split where there are at most
   $max_bins, quantiles of equal shares (values that occur) where there are more. NaN has no edge.
   Grain: edge.  Inputs: features.<experiment>, assignment.<experiment>. */
with train as (
    select features.{{ feature }} as value
    from {{ features }} as features
    inner join {{ assignment }} as assignment using (user_id)
    where assignment.split = 'train' and not isnan(features.{{ feature }})
),

few as (
    select distinct value
    from train
    limit {{ bind.max_bins }} + 1
),

counted as (
    select count(*) <= {{ bind.max_bins }} as keep_all
    from few
),

quantiles as (
    select unnest(quantile_disc(train.value, {{ bind.levels }})) as value
    from train
    cross join counted
    where not counted.keep_all
)

select distinct found.value as edge
from (
    select few.value
    from few
    cross join counted
    where counted.keep_all
    union all
    select quantiles.value
    from quantiles
) as found
order by edge
