/* Number of train users by value of every feature, without NaN. Counts of parts of the data can be merged.
   Grain: feature, value.  Inputs: features.<experiment>, assignment.<experiment>. */
with train as (
    select features.* exclude (user_id)
    from {{ features }} as features
    inner join {{ assignment }} as assignment using (user_id)
    where assignment.split = 'train'
),

-- One scan for all features: each grouping set counts the users of one feature's values.
by_value as (
    select
        {{ feature_list }},
        count(*) as _users
    from train
    group by grouping sets (
        {%- for feature in feature_names %}
            ({{ feature }}){% if not loop.last %},{% endif %}
        {%- endfor %}
    )
)

select
    feature,
    value,
    _users as n
from by_value
unpivot (value for feature in ({{ feature_list }}))
where not isnan(value)
