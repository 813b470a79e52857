/* The order in which users are treated as the budget grows: the best ranked first, and the k-th explorer
   where k - 1/2 of the explorers' share of all places are passed.
   Grain: user_id, of the ranked and the explorers.  Inputs: the night's roles, or a range of them.
   Bound: $ranked and $explorers, how many there are; $ranked_before and $explorers_before, of them before the
   range. */
with ordered as (
    select
        *,
        row_number() over (order by priority desc, tie asc, user_id asc)
            + {{ bind.ranked_before }}::bigint as place
    from {{ roles }}
    where role = 'ranked'
    union all by name
    select
        *,
        row_number() over (order by draw, user_id) + {{ bind.explorers_before }}::bigint as place
    from {{ roles }}
    where role = 'explore'
)

select
    *,
    case
        when role = 'ranked'
            then place
                + (2 * (place - 1) * {{ bind.explorers }} + {{ bind.ranked }} + {{ bind.explorers }})
                // (2 * {{ bind.ranked }})
        else ((2 * place - 1) * ({{ bind.ranked }} + {{ bind.explorers }}) + 2 * {{ bind.explorers }} - 1)
            // (2 * {{ bind.explorers }})
    end as rank
from ordered
