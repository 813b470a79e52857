/* How many users the whole clusters have that fit into a list, and the size of the first cluster that does not fit.
   Grain: role.  Inputs: the night's ordered users, of whom each cluster's members have neighbouring places.
   Bound: $ranked_places and $explorer_places, the numbers of places in the list. */
with clusters as (
    select
        role,
        cluster,
        count(*) as users,
        max(place) as until,
        if(role = 'ranked', {{ bind.ranked_places }}, {{ bind.explorer_places }})::bigint as places
    from {{ ordered_users }}
    group by role, cluster
)

select
    role::varchar as role,
    coalesce(max(until) filter (until <= places), 0) as users,
    arg_min(users, until) filter (until > places) as next_users
from clusters
group by role
