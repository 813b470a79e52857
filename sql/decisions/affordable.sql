/* How many users an amount of money treats: the first of the order whose costs add up to no more.
   Grain: one row.  Inputs: the night's places.  Bound: $amount.  Money is counted to a millionth, exactly. */
select coalesce(max(rank) filter (spent <= {{ bind.amount }}::decimal(24, 6)), 0) as size
from (
    select
        rank,
        sum(cost::decimal(18, 6)) over (order by rank) as spent
    from {{ places }}
)
