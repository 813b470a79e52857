/* A part's roles with each user's range of the list's order.
   Grain: user_id.  Inputs: the lanes of a part, splits. */
select
    lanes.*,
    coalesce(splits.range_number, 0) as range_number
from ({{ lanes }}) as lanes
asof left join {{ splits }} as splits
    on lanes.lane = splits.lane
    and row(lanes.first_key, lanes.second_key, lanes.user_id)
    > row(splits.first_key, splits.second_key, splits.user_id)
order by lanes.lane, range_number
