/* Users of each cell by arm, including the control: the inputs of the doubly robust scores of all arms.
   Grain: cell, arm (and fold, if the users trained the models); arm is the position in $arms, from 0.
   Inputs: training.<experiment>_cells.  Bound: $arms, $split. */
select
    {% if by_fold %}fold,{% endif %}
    cell,
    list_position({{ bind.arms }}, arm) - 1 as arm,
    sum(n)::double as n,
    sum({{ sums.sum }}::decimal(38, 10))::double as y,
    sum({{ sums.sum_sq }}::decimal(38, 10))::double as yy,
    sum({{ sums.events }})::double as events
from {{ cells }}
where split = {{ bind.split }}
group by all
order by all
