/* The order in which users are treated as the budget grows: ranked users by priority, and explorers spread evenly
   among them. The k-th of E explorers comes when (k - 1/2) / E of all places are passed. Example: with 4 ranked
   users and 1 explorer, the explorer gets rank 3 of 5.
   Where whole clusters are treated, the members of each have neighbouring places.
   Grain: user_id of ranked users and explorers.  Inputs: the night's roles, or a range of them.
   Bound: $ranked and $explorers, the numbers of these users; $ranked_before and $explorers_before, their numbers
   before the range. */
with ordered as (
    select
        *,
        row_number() over (
            order by priority desc, tie asc{% if whole_clusters %}, cluster asc{% endif %}, user_id asc
        ) + {{ bind.ranked_before }}::bigint as place
    from {{ roles }}
    where role = 'ranked'
    union all by name
    select
        *,
        row_number() over (
            order by draw{% if whole_clusters %}, cluster{% endif %}, user_id
        ) + {{ bind.explorers_before }}::bigint as place
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
