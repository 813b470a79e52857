/* The influences of users on the difference in mean outcome of one arm and the control, added up by cluster: on that of
   each split, and on that of all users. A cluster lies in one split.
   Grain: split; 'all' has all clusters.  Inputs: assignment.<experiment> of an experiment that declares clusters.
   Bound: $arm, $control; $splits, and of each of them in the same place the number of users, and each arm's number of
   users and mean outcome; the last of them is 'all'.
   {%- if varies %}
   Users, and their numbers, are weighted by the inverse of their chance of the arm.
   {%- endif %}
   {%- if weighted %} Users, and their numbers, are weighted by their sampling weight.{% endif %}
   {%- if not clustered %} Without clusters each user is one.{% endif %} */
with users as (
    select
        {% if clustered %}hash(cluster){% else %}user_id{% endif %} as cluster, -- by hash is faster than by text
        split,
        list_position({{ bind.splits }}, split) as place,
        arm = {{ bind.arm }} as treated,
        {{ outcome }} as y,
        {% if varies %}1 / case when arm = {{ bind.arm }} then propensity else 1 - propensity end{% else %}1{% endif %}
        {%- if weighted %} * weight{% endif %} as weighs
    from {{ assignment }}
    where arm in ({{ bind.arm }}, {{ bind.control }}) and list_contains({{ bind.splits }}, split)
),

influences as (
    select
        cluster,
        split,
        case
            when treated
                then (y - {{ bind.mean_treated }}[place]) * {{ bind.users }}[place] / {{ bind.n_treated }}[place]
            else -(y - {{ bind.mean_control }}[place]) * {{ bind.users }}[place] / {{ bind.n_control }}[place]
        end * weighs as of_split,
        case
            when treated then (y - {{ bind.mean_treated }}[-1]) * {{ bind.users }}[-1] / {{ bind.n_treated }}[-1]
            else -(y - {{ bind.mean_control }}[-1]) * {{ bind.users }}[-1] / {{ bind.n_control }}[-1]
        end * weighs as of_all
    from users
),

by_cluster as (
    select
        split,
        sum(of_split::decimal(38, 12))::double as of_split,
        sum(of_all::decimal(38, 12))::double as of_all
    from influences
    group by cluster, split
),

by_split as (
    select
        split,
        of_split as influence
    from by_cluster
    union all
    select
        'all' as split,
        of_all as influence
    from by_cluster
)

select
    split,
    count(*) as clusters,
    sum((influence * influence)::decimal(38, 12))::double as squares,
    max(influence * influence) as largest
from by_split
group by split
