/* Lower edges of every feature's bins, from the train users: every distinct value if there are at most $max_bins,
   otherwise the values at the quantiles k / $max_bins of the users. NaN has no edge.
   The edges are exact: they depend only on the number of users per value, so merged counts of parts give equal
   edges.
   Grain: feature, edge.  Inputs: train users of every value, see value_counts.sql.  Bound: $max_bins. */
with ranked as (
    select
        feature,
        value,
        (sum(n) over (partition by feature order by value))::bigint as reached, -- users up to this value
        reached - n as before,
        (sum(n) over (partition by feature))::bigint - 1 as last, -- quantile q is the value at position q * last
        count(*) over (partition by feature) as n_values
    from {{ counts }}
),

reached_quantiles as (
    select
        feature,
        value,
        n_values,
        -- Numbers of the quantiles 0 to $max_bins - 1 at or below this value, and below it.
        least((reached * {{ bind.max_bins }} + last - 1) // last, {{ bind.max_bins }}) as quantiles,
        least((before * {{ bind.max_bins }} + last - 1) // last, {{ bind.max_bins }}) as quantiles_before
    from ranked
)

select
    feature,
    value as edge
from reached_quantiles
where n_values <= {{ bind.max_bins }} or quantiles > quantiles_before
order by feature, edge
