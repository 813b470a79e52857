/* Where ranges of the list's order end: every so manieth mark of all parts.
   Grain: lane, range_number.  Inputs: marks.  Bound: $marks_per_range. */
select
    lane,
    first_key,
    second_key,
    user_id,
    place // {{ bind.marks_per_range }}::bigint as range_number -- of the range that follows
from (
    select
        *,
        row_number() over (partition by lane order by first_key, second_key, user_id) as place
    from {{ marks }}
)
where place % {{ bind.marks_per_range }}::bigint = 0
