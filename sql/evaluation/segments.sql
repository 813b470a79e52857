/* Held-out users of one contrast by feature and bin: what the effects of segments are computed from.
   Grain: feature, value (a bin's lower edge; NaN: missing).
   Inputs: sums by cell, as evaluation/joint_groups.sql makes them; training.<experiment>_feature_cells. */
with sums as ( -- under names that no feature has
    select
        cell,
        n as sum_n,
        phi as sum_phi,
        phi_sq as sum_phi_sq,
        events_treated as sum_events_treated,
        events_control as sum_events_control
    from {{ sums_by_cell }}
),

users as (
    select
        {{ feature_list }},
        sums.* exclude (cell)
    from {{ feature_cells }}
    inner join sums using (cell)
),

by_feature as (
    from users
    unpivot (value for feature in ({{ feature_list }}))
)

select
    feature,
    value,
    sum(sum_n) as n,
    sum(sum_phi::decimal(38, 12))::double as phi,
    sum(sum_phi_sq::decimal(38, 12))::double as phi_sq,
    sum(sum_events_treated) as events_treated,
    sum(sum_events_control) as events_control
from by_feature
group by all
order by all
