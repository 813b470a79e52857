/* How many users an amount of money treats: the first of the order whose costs add up to no more.
   Grain: one row.  Inputs: the night's places, or a range of them.
   Bound: $amount; $before and $spent_before, users before the range and their costs.  Money is counted to a
   millionth, exactly. */
select
    coalesce(max(rank) filter (spent <= {{ bind.amount }}::decimal(24, 6)), {{ bind.before }}::bigint) as size
from (
    select
        rank,
        sum(cost::decimal(18, 6)) over (order by rank) + {{ bind.spent_before }}::decimal(38, 6) as spent
    from {{ ordered_users }}
)
