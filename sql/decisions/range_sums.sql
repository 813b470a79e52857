/* How many users each range of the list's order has in a part, and what they cost together, where money is
   divided: to a millionth, exactly.
   Grain: lane, range_number.  Inputs: the ranged roles of a part. */
select
    lane,
    range_number,
    count(*) as users,
    {% if money %}sum(cost::decimal(18, 6)){% else %}0::decimal(38, 6){% endif %} as spent
from {{ ranged }}
group by lane, range_number
