/* Users of one contrast grouped by all their scores: all inputs of the evaluation of one outcome.
   Grain: scores (and fold, if predictions are out of fold).
   Inputs: training.<experiment>_cells; predictions of scores and of both arms' outcomes, one row per
   cell (and fold). Bound: $arm, $control, $split, $propensity (by design, over all users).
   {%- if varies %} Each cell's users have its propensity; sums by arm are weighted by balance_weights of
   uplift_core/evaluation/estimate.py, and sums of squared weights stand beside them.{% endif %}
   {%- if weighted %} n and all sums weigh users by their sampling weight; those of squares are of no use.{% endif %}
   phi is the doubly robust score of the effect, phi0 of the outcome under control. Within a cell and
   arm both are linear in y, so the sums over its users follow from n, sum(y) and sum(y * y). Sums over
   cells are exact (DECIMAL), so no order of rows or threads can change them.
   sum(y * y * y), which skewness needs, is exact where at most two of a cell's outcomes are not 0, or
   where those are equal, as 0 and 1 are; of others the skewness within the cell is taken as 0. */
with observed as (
    select
        cell,
        {% if by_fold %}fold,{% endif %}
        {% if varies %}propensity as e,{% endif %}
        (arm = {{ bind.arm }})::integer as w,
        sum({% if weighted %}weight{% else %}n{% endif %})::double as n,
        sum({{ sums.sum }}::decimal(38, 10))::double as y,
        sum({{ sums.sum_sq }}::decimal(38, 10))::double as yy,
        sum({{ sums.events }})::double as events
    from {{ cells }}
    where split = {{ bind.split }} and arm in ({{ bind.arm }}, {{ bind.control }})
    {%- if weighted %} and weight > 0{% endif %}
    group by all
),

predicted as (
    select
        cell,
        {% if by_fold %}fold,{% endif %}
        {% for score in score_names %}{{ score }}::double as {{ score }},{% endfor %}
        {{ mu0 }}::double as mu0,
        {{ mu1 }}::double as mu1
    from {{ predictions }}
    where arm = {{ bind.arm }}
),

joined as (
    select
        observed.*,
        predicted.* exclude (cell{% if by_fold %}, fold{% endif %})
    from observed
    inner join predicted using (cell{% if by_fold %}, fold{% endif %})
),

-- phi = level + slope * y and phi0 = level0 + slope0 * y for every user of a row.
linear as (
    select
        *,
        case when events > 0 then (3 * yy - 2 * y * y / events) * y / events else 0 end as yyy,
        {% if varies %}
            mu1 - mu0 - w * mu1 / e + (1 - w) * mu0 / (1 - e) as level,
            w / e - (1 - w) / (1 - e) as slope,
            mu0 - (1 - w) * mu0 / (1 - e) as level0,
            (1 - w) / (1 - e) as slope0,
            w * {{ bind.propensity }} / e + (1 - w) * (1 - {{ bind.propensity }}) / (1 - e) as weight
        {% else %}
            mu1 - mu0 - w * mu1 / {{ bind.propensity }} + (1 - w) * mu0 / (1 - {{ bind.propensity }}) as level,
            w / {{ bind.propensity }} - (1 - w) / (1 - {{ bind.propensity }}) as slope,
            mu0 - (1 - w) * mu0 / (1 - {{ bind.propensity }}) as level0,
            (1 - w) / (1 - {{ bind.propensity }}) as slope0
        {% endif %}
    from joined
)

select
    {% if by_fold %}fold,{% endif %}
    {{ score_list }},
    sum(n) as n,
    {% if varies %}
        sum((w * weight * n)::decimal(38, 12))::double as n_treated,
        sum(((1 - w) * weight * n)::decimal(38, 12))::double as n_control,
        sum((w * weight * y)::decimal(38, 10))::double as y_treated,
        sum(((1 - w) * weight * y)::decimal(38, 10))::double as y_control,
        sum((w * weight * weight * yy)::decimal(38, 10))::double as yy_treated,
        sum(((1 - w) * weight * weight * yy)::decimal(38, 10))::double as yy_control,
        sum((w * weight * weight * n)::decimal(38, 12))::double as nn_treated,
        sum((w * weight * weight * y)::decimal(38, 10))::double as ny_treated,
        sum(((1 - w) * weight * weight * n)::decimal(38, 12))::double as nn_control,
        sum(((1 - w) * weight * weight * y)::decimal(38, 10))::double as ny_control,
    {% else %}
        sum(w * n) as n_treated,
        sum((w * y)::decimal(38, 10))::double as y_treated,
        sum(((1 - w) * y)::decimal(38, 10))::double as y_control,
        sum((w * yy)::decimal(38, 10))::double as yy_treated,
        sum(((1 - w) * yy)::decimal(38, 10))::double as yy_control,
    {% endif %}
    sum((level * n + slope * y)::decimal(38, 12))::double as phi,
    sum((level * level * n + 2 * level * slope * y + slope * slope * yy)::decimal(38, 12))::double as phi_sq,
    -- Kept within what DECIMAL holds: outcomes of 1e9 are rather counted in other units.
    sum(
        greatest(least(
            level * level * level * n + 3 * level * level * slope * y + 3 * level * slope * slope * yy
            + slope * slope * slope * yyy, 1e28
        ), -1e28)::decimal(38, 6)
    )::double as phi_cu,
    sum((level0 * n + slope0 * y)::decimal(38, 12))::double as phi0,
    sum((level0 * level0 * n + 2 * level0 * slope0 * y + slope0 * slope0 * yy)::decimal(38, 12))::double
        as phi0_sq,
    sum(
        (level0 * level * n + (level0 * slope + slope0 * level) * y + slope0 * slope * yy)::decimal(38, 12)
    )::double as phi0_phi,
    sum(w * events) as events_treated,
    sum((1 - w) * events) as events_control
from linear
group by all
order by all
