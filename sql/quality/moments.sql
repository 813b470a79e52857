/* Mean, variance and number of known values of every feature, and number of users, by arm.
   Grain: arm, feature.  Inputs: features.<experiment>, assignment.<experiment>.
   {%- if varies %}
   Users are weighted by the inverse of their chance of the arm, and their numbers are those of as many users of equal
   weight (Kish 1965). Bound: $control.
   {%- endif %} */
{%- if varies %}
with weighted as (
    select
        features.*,
        assignment.arm,
        case
            when assignment.arm = {{ bind.control }} then 1 / (1 - assignment.propensity) else 1 / assignment.propensity
        end as _weight
    from {{ features }} as features
    inner join {{ assignment }} as assignment using (user_id)
),

by_arm as (
    select
        arm,
        sum(_weight) ** 2 / sum(_weight ** 2) as users,
        {% for feature in feature_names -%}
            sum(_weight * {{ feature }}::double) filter (not isnan({{ feature }}))
            / sum(_weight) filter (not isnan({{ feature }})) as mean_{{ numbers[loop.index0] }},
            sum(_weight * {{ feature }}::double ** 2) filter (not isnan({{ feature }}))
            / sum(_weight) filter (not isnan({{ feature }})) - mean_{{ numbers[loop.index0] }} ** 2
                as variance_{{ numbers[loop.index0] }},
            users * coalesce(sum(_weight) filter (not isnan({{ feature }})), 0) / sum(_weight)
                as known_{{ numbers[loop.index0] }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from weighted
    group by arm
)
{%- else %}
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
{%- endif %}

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
