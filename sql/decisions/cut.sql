/* The end of the list among the ranked users, or among those about whom a model's response decides as usual: the last
   treated one, and the treated share of users with that priority.
   Grain: one row; none if nobody is treated.  Inputs: the night's roles.  Bound: $lane, the role; $treated, number of
   its users to treat. */
with reached as (
    select
        {{ priority }} as priority,
        count(*) as n,
        sum(count(*)) over (order by {{ priority }} desc) as until
    from {{ roles }}
    where role = {{ bind.lane }}
    group by {{ priority }}
),

last as (
    select
        priority,
        n,
        {{ bind.treated }} - (until - n) as taken
    from reached
    where {{ bind.treated }} > 0 and until >= {{ bind.treated }}
    order by until
    limit 1
)

select
    last.priority,
    tied.tie,
    last.taken / last.n as share
from last
inner join {{ roles }} as tied on last.priority = tied.{{ priority }} and tied.role = {{ bind.lane }}
qualify row_number() over (order by tied.tie, tied.user_id) = last.taken
