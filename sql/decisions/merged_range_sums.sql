/* Users and costs of each range, summed over several parts.
   Grain: lane, range_number.  Inputs: range sums of parts. */
select
    lane,
    range_number,
    sum(users)::bigint as users,
    sum(spent)::decimal(38, 6) as spent
from {{ parts }}
group by lane, range_number
order by lane, range_number
