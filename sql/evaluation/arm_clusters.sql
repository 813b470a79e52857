/* Held-out users of all arms with their cluster, cell and outcome, cluster by cluster.
   Grain: user_id, which is left out; arm is the position in $arms, from 0.
   Inputs: assignment.<experiment> of an experiment that declares clusters, training.<experiment>_user_cells.
   Bound: $arms. */
select
    md5_number_lower(assignment.cluster) as cluster, -- numbers are sorted in a third of the time of texts
    user_cells.cell,
    list_position({{ bind.arms }}, assignment.arm) - 1 as arm,
    assignment.{{ outcome }}::double as y
from {{ assignment }} as assignment
inner join {{ user_cells }} as user_cells using (user_id)
where assignment.split = 'holdout'
order by all
