/* The values below and above which a share of all users' outcomes lies.
   Grain: one row.  Inputs: assignment.<experiment>.  Bound: $share. */
select
    quantile_disc({{ outcome }}, {{ bind.share }})::double as low,
    quantile_disc({{ outcome }}, 1 - {{ bind.share }})::double as high
from {{ assignment }}
