/* Number of users that an amount of money treats: the first users of the order whose total cost is within the
   amount.
   Grain: one row.  Inputs: the night's ordered users, or a range of them.
   Bound: $amount; $before and $spent_before, number and total cost of users before the range.  Money is exact
   to a millionth. */
select
    coalesce(max(rank) filter (spent <= {{ bind.amount }}::decimal(24, 6)), {{ bind.before }}::bigint) as size
from (
    select
        rank,
        sum(cost::decimal(18, 6)) over (order by rank) + {{ bind.spent_before }}::decimal(38, 6) as spent
    from {{ ordered_users }}
)
