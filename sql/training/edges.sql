/* Lower edges of one feature's bins: every distinct value of the sample where there are at most
   $max_bins, quantiles of equal shares (values that occur) where there are more. NaN has no edge; a
   value too rare for the sample shares the bin below it.
   Grain: edge.  Inputs: the edge sample.  Bound: $max_bins, $levels. */
with sample as (
    select {{ feature }} as value
    from {{ edge_sample }}
    where not isnan({{ feature }})
),

few as (
    select distinct value
    from sample
    limit {{ bind.max_bins }} + 1
),

counted as (
    select count(*) <= {{ bind.max_bins }} as keep_all
    from few
),

quantiles as (
    select unnest(quantile_disc(sample.value, {{ bind.levels }})) as value
    from sample
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
