/* What stands in each numbered row of a file, without outcomes, which may be measured again: rows that no other row
   equals.  Of many rows, a sample by content, so that two files give the same sample.
   Grain: content.  Inputs: raw.<experiment>.  Bound: $step, the inverse of the share of rows to sample. */
with contents as (
    select
        user_id,
        hash(*columns(* exclude ({{ excluded_columns }}))) as content
    from {{ raw }}
)

select
    content,
    any_value(user_id) as user_id
from contents
where content % {{ bind.step }} = 0
group by content
having count(*) = 1
