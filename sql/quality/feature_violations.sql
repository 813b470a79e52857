/* Values of one feature that no model can take: infinite ones. NaN and null count as missing.
   Grain: one row in all.  Inputs: features.<experiment>. */
select
    count(*) as n,
    min(user_id) as first_user,
    arg_min_null({{ feature }}, user_id)::varchar as first_value
from {{ features }}
where isinf({{ feature }})
