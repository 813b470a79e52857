/* The ends of ranges of the list's order: every n-th mark of all parts; n is $marks_per_range.
   Grain: lane, range_number.  Inputs: marks.  Bound: $marks_per_range. */
select
    lane,
    first_key,
    second_key,
    user_id,
    place // {{ bind.marks_per_range }}::bigint as range_number -- of the next range
from (
    select
        *,
        row_number() over (partition by lane order by first_key, second_key, user_id) as place
    from {{ marks }}
)
where place % {{ bind.marks_per_range }}::bigint = 0
