/* Every distinct combination of binned features, in both splits.
   Grain: cell, numbered from 0 in the order of the features.  Inputs: binned users. */
with combinations as (
    select distinct {{ feature_list }}
    from {{ binned }}
)

select
    row_number() over (order by {{ feature_list }}) - 1 as cell,
    {{ feature_list }}
from combinations
order by cell
