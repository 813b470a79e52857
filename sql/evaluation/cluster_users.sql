/* Users of one contrast with their cluster, cell and outcome: what cluster-robust errors need besides the sums of the
   groups. Equal clusters are adjacent, and rows have an order, so that sums by cluster are the same in every run.
   Clusters are told from each other by hash: numbers are sorted in a third of the time of texts.
   Grain: user_id, which is left out.
   Inputs: assignment.<experiment> of an experiment that declares clusters, training.<experiment>_user_cells.
   Bound: $arm, $control, $split. */
select
    {% if clustered %}hash(assignment.cluster){% else %}assignment.user_id{% endif %} as cluster,
    user_cells.cell,
    {% if by_fold %}assignment.fold,{% endif %}
    {% if varies %}assignment.propensity,{% endif %}
    {% if weighted %}assignment.weight,{% endif %}
    (assignment.arm = {{ bind.arm }})::double as w,
    assignment.{{ outcome }}::double as y
from {{ assignment }} as assignment
inner join {{ user_cells }} as user_cells using (user_id)
where assignment.split = {{ bind.split }} and assignment.arm in ({{ bind.arm }}, {{ bind.control }})
{% if weighted %}and assignment.weight > 0{% endif %}
order by 1, user_id
