/* The influences of users on the difference in mean outcome of one arm and the control, added up by cluster.
   Grain: one row.  Inputs: assignment.<experiment> of an experiment that declares clusters.
   Bound: $arm, $control, $splits; $users, and the arms' numbers of users and mean outcomes.
   {%- if varies %}
   Users, and their numbers, are weighted by the inverse of their chance of the arm.
   {%- endif %}
   {%- if weighted %} Users, and their numbers, are weighted by their sampling weight.{% endif %}
   {%- if not clustered %} Without clusters each user is one.{% endif %} */
with influences as (
    select
        {% if clustered %}hash(cluster){% else %}user_id{% endif %} as cluster, -- by hash is faster than by text
        case
            when arm = {{ bind.arm }}
                then ({{ outcome }} - {{ bind.mean_treated }}) * {{ bind.users }} / {{ bind.n_treated }}
            else -({{ outcome }} - {{ bind.mean_control }}) * {{ bind.users }} / {{ bind.n_control }}
        end{% if varies %}
        / case when arm = {{ bind.arm }} then propensity else 1 - propensity end{% endif %}
        {%- if weighted %} * weight{% endif %} as influence
    from {{ assignment }}
    where arm in ({{ bind.arm }}, {{ bind.control }}) and list_contains({{ bind.splits }}, split)
),

by_cluster as (
    select sum(influence::decimal(38, 12))::double as influence
    from influences
    group by cluster
)

select
    count(*) as clusters,
    sum((influence * influence)::decimal(38, 12))::double as squares,
    max(influence * influence) as largest
from by_cluster
