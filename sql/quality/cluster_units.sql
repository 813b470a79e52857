/* Clusters as the units of a comparison of arms: each has its arm and, of every feature, the mean of the values that
   are known or the share of users whose value is known.
   Grain: user_id, here the number of the cluster.  Inputs: features.<experiment>, assignment.<experiment>. */
select
    row_number() over (order by assignment.cluster) as user_id,
    any_value(assignment.arm) as arm,
    {% if varies %}avg(assignment.propensity) as propensity,{% endif %}
    {% for feature in feature_names -%}
        {% if shares -%}
            count(features.{{ feature }}) filter (not isnan(features.{{ feature }})) / count(*)
        {%- else -%}
            avg(features.{{ feature }}::double) filter (not isnan(features.{{ feature }}))
        {%- endif %} as {{ feature }}
        {%- if not loop.last %},{% endif %}
    {% endfor %}
from {{ features }} as features
inner join {{ assignment }} as assignment using (user_id)
group by assignment.cluster
