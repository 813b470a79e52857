/* Number of users of each range of the list's order in a part and, for a budget in money, their total cost: exact
   to a millionth.
   Grain: lane, range_number.  Inputs: the ranged roles of a part. */
select
    lane,
    range_number,
    count(*) as users,
    {% if money %}sum(cost::decimal(18, 6)){% else %}0::decimal(38, 6){% endif %} as spent
from {{ ranged }}
group by lane, range_number
