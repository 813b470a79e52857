/* Mean, variance and number of known values of every feature, and number of users, by arm.
   Grain: arm, feature.  Inputs: features.<experiment>, assignment.<experiment>. */
with by_arm as (
    select
        assignment.arm,
        count(*) as users,
        {% for feature in feature_names -%}
            avg(features.{{ feature }}::double)
                filter (not isnan(features.{{ feature }})) as mean_{{ numbers[loop.index0] }},
            var_samp(features.{{ feature }}::double)
                filter (not isnan(features.{{ feature }})) as variance_{{ numbers[loop.index0] }},
            count(features.{{ feature }})
                filter (not isnan(features.{{ feature }})) as known_{{ numbers[loop.index0] }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from {{ features }} as features
    inner join {{ assignment }} as assignment using (user_id)
    group by assignment.arm
)

{% for feature in feature_names -%}
    select
        arm,
        {{ numbers[loop.index0] }} as position,
        users,
        coalesce(mean_{{ numbers[loop.index0] }}, 0) as mean,
        coalesce(variance_{{ numbers[loop.index0] }}, 0) as variance,
        known_{{ numbers[loop.index0] }} as known
    from by_arm
    {% if not loop.last %}union all{% endif %}
{% endfor %}
order by arm, position
