/* Rows whose outcome is not what was declared: missing, not finite, or, if binary, neither 0 nor 1.
   Grain: one row in all.  Inputs: raw.<experiment>.  Bound: $binary. */
select
    count(*) as n,
    min(user_id) as first_user,
    arg_min_null({{ outcome }}, user_id)::varchar as first_value
from {{ raw }}
where {{ outcome }} is null
    or not isfinite({{ outcome }}::double)
    or ({{ bind.binary }} and {{ outcome }} not in (0, 1))
