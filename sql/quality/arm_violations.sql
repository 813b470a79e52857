/* Rows whose arm is none of the declared ones.
   Grain: one row in all.  Inputs: raw.<experiment>.  Bound: $arm_values. */
select
    count(*) as n,
    min(user_id) as first_user,
    arg_min_null({{ arm_column }}, user_id)::varchar as first_value
from {{ raw }}
where {{ arm_column }} is null or list_position({{ bind.arm_values }}, {{ arm_column }}::varchar) is null
