/* Outcomes by arm and split, of which the differences in means are made.
   Grain: arm, split.  Inputs: assignment.<experiment>. */
select
    arm,
    split,
    count(*)::double as n,
    sum({{ outcome }}::decimal(38, 10))::double as y,
    sum(({{ outcome }}::double * {{ outcome }}::double)::decimal(38, 10))::double as yy,
    min({{ outcome }})::double as smallest,
    max({{ outcome }})::double as largest
from {{ assignment }}
group by all
order by all
