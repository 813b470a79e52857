/* Every n-th user of a part in the list's order; n is $step.
   Grain: user_id.  Inputs: the lanes of a part.  Bound: $step. */
select
    lane,
    first_key,
    second_key,
    user_id
from (
    select
        *,
        row_number() over (partition by lane order by first_key, second_key, user_id) as place
    from ({{ lanes }})
)
where place % {{ bind.step }}::bigint = 0
