/* Merged value counts of several parts of the data.
   Grain: feature, value.  Inputs: value counts of parts, see value_counts.sql. */
select
    feature,
    value,
    sum(n)::bigint as n
from {{ parts }}
group by feature, value
