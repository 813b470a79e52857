/* Held-out users of each cell by arm, the control among them: what doubly robust scores of all arms need.
   Grain: cell, arm; arm is the place in $arms.  Inputs: training.<experiment>_cells.  Bound: $arms. */
select
    cell,
    list_position({{ bind.arms }}, arm) - 1 as arm,
    sum(n)::double as n,
    sum({{ sums.sum }}::decimal(38, 10))::double as y,
    sum({{ sums.sum_sq }}::decimal(38, 10))::double as yy
from {{ cells }}
where split = 'holdout'
group by all
order by all
