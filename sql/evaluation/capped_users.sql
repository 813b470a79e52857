/* Users with the outcome kept between two values.
   Grain: user_id.  Inputs: assignment.<experiment>.  Bound: $low, $high. */
select * replace (least(greatest({{ outcome }}, {{ bind.low }}), {{ bind.high }}) as {{ outcome }})
from {{ assignment }}
