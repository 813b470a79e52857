/* Train users of one contrast with their cell, arm, fold and outcome, with their cluster if one is declared,
   and with their chance of the treatment if it differs between users.
   Grain: user_id.  Inputs: training.<experiment>_user_cells, assignment.<experiment>.
   Bound: $arm, $control. */
select
    user_cells.cell,
    (assignment.arm = {{ bind.arm }})::tinyint as w,
    assignment.fold,
    assignment.{{ outcome }}::double as y
    {%- if clustered %},
    md5_number_lower(assignment.cluster) as cluster{% endif %}
    {%- if varies %},
    assignment.propensity{% endif %}
from {{ assignment }} as assignment
inner join {{ user_cells }} as user_cells using (user_id)
where assignment.split = 'train' and assignment.arm in ({{ bind.arm }}, {{ bind.control }})
order by user_id
