/* Effects of the assignment on the outcome and on the exposure, and the products of users' influences on them.
   Grain: one row.
   Inputs: assignment.<experiment> of an experiment that declares an exposure
   {%- if scored %}; training.<experiment>_user_cells and predictions, for doubly robust scores{% endif %}.
   Bound: $arm, $control, $splits{% if not varies %}, $propensity (by design){% endif %}.
   {%- if scored %}
   A user's scores are phi of the outcome, by its models, and phi of the exposure, whose model is the mean of the arm's
   train users.
   {%- else %}
   Effects are differences in means; where chances differ, users are weighted by the inverse of their chance of the
   arm (Hajek 1971).
   {%- endif %}
   {%- if weighted %}
   Users are weighted by their sampling weight.
   {%- endif %}
   Influences are added up by cluster, without clusters by user; sums are exact, whatever the order of rows. */
with users as (
    select
        assignment.split,
        assignment.arm = {{ bind.arm }} as treated,
        {% if clustered %}assignment.cluster{% else %}assignment.user_id{% endif %} as unit,
        {% if varies %}assignment.propensity{% else %}{{ bind.propensity }}::double{% endif %} as e,
        case when treated then 1 / e else 1 / (1 - e) end as inverse,
        {% if weighted %}assignment.weight * inverse{% else %}inverse{% endif %} as weight,
        assignment.{{ outcome }}::double as y,
        assignment.exposure as d
        {%- if scored %},
        predictions.{{ mu0 }}::double as mu0,
        predictions.{{ mu1 }}::double as mu1
        {%- endif %}
    from {{ assignment }} as assignment
    {%- if scored %}
    inner join {{ user_cells }} as user_cells using (user_id)
    inner join {{ predictions }} as predictions
        on user_cells.cell = predictions.cell and predictions.arm = {{ bind.arm }}
    {%- endif %}
    where assignment.arm in ({{ bind.arm }}, {{ bind.control }})
),

chosen as (
    from users
    where list_contains({{ bind.splits }}, split)
),

arms as (
    select
        treated,
        count(*) as n,
        sum(weight::decimal(38, 12))::double as weights,
        sum((weight / inverse)::decimal(38, 12))::double as sampled,
        sum((weight * y)::decimal(38, 10))::double / weights as y,
        sum((weight * d)::decimal(38, 12))::double / weights as d
    from chosen
    group by treated
),

{% if scored %}
    models as (
        select
            treated,
            sum((weight * d)::decimal(38, 12))::double / sum(weight::decimal(38, 12))::double as d
        from users
        where split = 'train'
        group by treated
    ),
{% endif %}

known as (
    select
        n1.n + n0.n as n,
        n1.sampled + n0.sampled as weights,
        n1.weights as weights1,
        n0.weights as weights0,
        n1.y as y1,
        n0.y as y0,
        n1.d as d1,
        n0.d as d0
        {%- if scored %},
        m1.d as nu1,
        m0.d as nu0
        {%- endif %}
    from arms as n1
    inner join arms as n0 on n1.treated and not n0.treated
    {%- if scored %}
    inner join models as m1 on m1.treated
    inner join models as m0 on not m0.treated
    {%- endif %}
),

informed as (
    select
        chosen.*,
        known.*
    from chosen
    cross join known
),

terms as (
    select
        unit,
        {% if scored %}
            {% if weighted %}n * weight / inverse / weights{% else %}1{% endif %} as part,
            part * (mu1 - mu0 + inverse * case when treated then y - mu1 else mu0 - y end) as a,
            part * (nu1 - nu0 + inverse * case when treated then d - nu1 else nu0 - d end) as b,
        {% else %}
            1 as part,
            y1 - y0 + n * weight * case when treated then (y - y1) / weights1 else -(y - y0) / weights0 end as a,
            d1 - d0 + n * weight * case when treated then (d - d1) / weights1 else -(d - d0) / weights0 end as b,
        {% endif %}
        case when treated then n * weight * (d - d1) / weights1 else 0 end as c
    from informed
),

level as (
    select
        sum(a::decimal(38, 12))::double / count(*) as a,
        sum(b::decimal(38, 12))::double / count(*) as b
    from terms
),

by_unit as (
    select
        sum((terms.a - level.a * terms.part)::decimal(38, 12))::double as a,
        sum((terms.b - level.b * terms.part)::decimal(38, 12))::double as b,
        sum(terms.c::decimal(38, 12))::double as c
    from terms
    cross join level
    group by terms.unit
)

select
    any_value(level.a) as outcome_effect,
    any_value(level.b) as exposure_effect,
    any_value(known.n)::double as users,
    count(*) as units,
    sum((by_unit.a * by_unit.a)::decimal(38, 10))::double as outcome_sq,
    sum((by_unit.a * by_unit.b)::decimal(38, 10))::double as crossed,
    sum((by_unit.b * by_unit.b)::decimal(38, 10))::double as exposure_sq,
    any_value(known.d1) as reached_treated,
    any_value(known.d0) as reached_control,
    sum((by_unit.c * by_unit.c)::decimal(38, 10))::double as reached_sq
from by_unit
cross join level
cross join known
having count(*) > 0
