/* Rows whose outcome is not what was declared: missing, not finite, if binary, neither 0 nor 1,
   or if a count, no whole number from 0.
   Grain: one row in all.  Inputs: raw.<experiment>.  Bound: $binary, $counted. */
select
    count(*) as n,
    min(user_id) as first_user,
    arg_min_null({{ outcome }}, user_id)::varchar as first_value
from {{ raw }}
where {{ outcome }} is null
    or not isfinite({{ outcome }}::double)
    or ({{ bind.binary }} and {{ outcome }} not in (0, 1))
    or ({{ bind.counted }} and ({{ outcome }} < 0 or {{ outcome }} <> floor({{ outcome }})))
