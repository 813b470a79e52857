/* Number of users, and of users with the outcome, by split and one feature's bin, for every feature.
   Grain: split, feature, bin.  Inputs: training.<experiment>_cells. */
select
    split,
    {{ feature_list }},
    grouping_id({{ feature_list }}) as feature_set, -- identifies the grouped feature: its bit is 0
    sum(n)::double as users,
    sum({{ events }})::double as events
from {{ cells }}
group by grouping sets (
    {%- for feature in feature_names %}
        (split, {{ feature }}){% if not loop.last %},{% endif %}
    {%- endfor %}
)
