/* Number of users in every bin of every feature, and number of users without a value.
   Grain: feature.  Inputs: features.<experiment>.  Bound: $bounds_<position>, upper ends of a feature's bins. */
with counted as (
    select
        {% for feature in feature_names -%}
            histogram({{ feature }}::double, {{ bounds[loop.index0] }}::double[])
                filter (not isnan({{ feature }})) as bins_{{ numbers[loop.index0] }},
            count(*) - count({{ feature }})
                filter (not isnan({{ feature }})) as missing_{{ numbers[loop.index0] }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from {{ features }}
)

{% for feature in feature_names -%}
    select
        {{ numbers[loop.index0] }} as position,
        bins_{{ numbers[loop.index0] }} as bins,
        missing_{{ numbers[loop.index0] }} as missing
    from counted
    {% if not loop.last %}union all{% endif %}
{% endfor %}
order by position
