/* Train users of one arm and the control with their features, cluster and half of the sample; clusters are sampled as
   a whole.
   Grain: user_id.  Inputs: features.<experiment>, assignment.<experiment>.
   Bound: $arm, $control; $step, one of so many clusters is taken. */
select
    assignment.arm = {{ bind.arm }} as in_arm,
    {% if varies %}assignment.propensity,{% endif %}
    assignment.fold % 2 as half,
    dense_rank() over (order by assignment.cluster) - 1 as unit,
    {% for feature in feature_names -%}
        features.{{ feature }}
        {%- if not loop.last %},{% endif %}
    {% endfor %}
from {{ features }} as features
inner join {{ assignment }} as assignment using (user_id)
where assignment.split = 'train'
    and assignment.arm in ({{ bind.arm }}, {{ bind.control }})
    and md5_number_lower(assignment.cluster) % {{ bind.step }}::ubigint = 0
order by user_id
