/* All users of equal binned features, arm, split and fold as one row: n, and for each outcome its sum, its sum of
   squares and the number of users whose outcome is not 0.
   Grain: cell, arm, split, fold
   {%- if varies %}, propensity{% endif %}.  Inputs: training.<experiment>_user_cells,
   training.<experiment>_feature_cells, assignment.<experiment>.
   Sums are exact, as they are sums of whole numbers or DECIMAL, so they do not depend on the order in which threads
   add.
   {%- if weighted %} Sums of outcomes are weighted by the sampling weight.{% endif %} Sums of a part of the data stay DECIMAL, so that they can be merged. */
with grouped as (
    select
        user_cells.cell,
        assignment.arm,
        assignment.split,
        assignment.fold,
        {%- if varies %}
        assignment.propensity,
        {%- endif %}
        {%- if weighted %}
        sum(assignment.weight::decimal(38, 12))::double as weight,
        {%- endif %}
        {% for outcome in outcomes %}
            {%- if weighted %}
            sum((assignment.weight * assignment.{{ outcome.name }})::decimal(38, 10))::double as {{ outcome.sum }},
            sum((assignment.weight * assignment.{{ outcome.name }} * assignment.{{ outcome.name }})::decimal(38, 10))
                ::double as {{ outcome.sum_sq }},
            {%- else %}
            sum(assignment.{{ outcome.name }}::{{ outcome.exact }})
                ::{% if of_part | default(false) %}decimal(38, 10){% else %}double{% endif %} as {{ outcome.sum }},
            sum((assignment.{{ outcome.name }} * assignment.{{ outcome.name }})::{{ outcome.exact }})
                ::{% if of_part | default(false) %}decimal(38, 10){% else %}double{% endif %} as {{ outcome.sum_sq }},
            {%- endif %}
            count(*) filter (assignment.{{ outcome.name }} <> 0) as {{ outcome.events }},
        {% endfor %}
        count(*) as n
    from {{ user_cells }} as user_cells
    inner join {{ assignment }} as assignment using (user_id)
    group by all
)

select
    grouped.cell,
    feature_cells.* exclude (cell),
    grouped.arm,
    grouped.split,
    grouped.fold,
    {%- if varies %}
    grouped.propensity,
    {%- endif %}
    {%- if weighted %}
    grouped.weight,
    {%- endif %}
    grouped.n{% for outcome in outcomes %},
        grouped.{{ outcome.sum }},
        grouped.{{ outcome.sum_sq }},
        grouped.{{ outcome.events }}{% endfor %}
from grouped
inner join {{ feature_cells }} as feature_cells using (cell)
order by grouped.cell, grouped.arm, grouped.split, grouped.fold
{%- if varies %}, grouped.propensity{% endif %}
