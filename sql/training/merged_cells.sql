/* Merged cells of several parts of the data. Merging is exact, as the sums are whole numbers or DECIMAL.
   Grain: features, arm, split, fold.  Inputs: cells of parts, see cells.sql. */
select
    {{ feature_list }},
    arm,
    split,
    fold,
    sum(n)::bigint as n{% for outcome in outcomes %},
        sum({{ outcome.sum }}) as {{ outcome.sum }},
        sum({{ outcome.sum_sq }}) as {{ outcome.sum_sq }},
        sum({{ outcome.events }})::bigint as {{ outcome.events }}{% endfor %}
from {{ parts }}
group by {{ feature_list }}, arm, split, fold
