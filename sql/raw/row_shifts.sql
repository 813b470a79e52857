/* By how many places rows moved in a file between two loads: 0 are rows that stayed.
   Grain: shift.  Inputs: sql/raw/row_contents.sql of both loads. */
with later as (
    from ({{ contents_after }})
)

select
    later.user_id - earlier.user_id as shift,
    count(*) as n
from {{ contents_before }} as earlier
inner join later using (content)
group by 1
order by n desc, abs(shift)
