/* The users' positions in a list's order, in three lanes: ranked users by priority, explorers by draw, all others
   by user id. Lane, keys and user id together are unique.
   Grain: user_id.  Inputs: the night's roles. */
select
    *,
    case when role in ('ranked', 'explore') then role::varchar else 'rest' end as lane,
    case role when 'ranked' then -priority when 'explore' then draw else 0 end as first_key,
    case role when 'ranked' then tie else 0 end::uinteger as second_key
from {{ roles }}
