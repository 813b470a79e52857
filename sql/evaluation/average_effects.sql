/* Outcomes by arm and split, of which the differences in means are made.
   Grain: arm, split.  Inputs: assignment.<experiment>.
   {%- if varies %} Users are weighted by the inverse of their chance of the arm. Bound: $control.{% endif %}
   {%- if weighted %} Users are weighted by their sampling weight.{% endif %} */
{%- if varies %}
with weighted as (
    select
        *,
        case when arm = {{ bind.control }} then 1 / (1 - propensity) else 1 / propensity end as weight
    from {{ assignment }}
)
{%- endif %}

select
    arm,
    split,
    {%- if varies or weighted %}
    sum(weight::decimal(38, 12))::double as n,
    sum((weight * {{ outcome }}::double)::decimal(38, 10))::double as y,
    sum((weight * {{ outcome }}::double * {{ outcome }}::double)::decimal(38, 10))::double as yy,
    {%- else %}
    count(*)::double as n,
    sum({{ outcome }}::decimal(38, 10))::double as y,
    sum(({{ outcome }}::double * {{ outcome }}::double)::decimal(38, 10))::double as yy,
    {%- endif %}
    min({{ outcome }})::double as smallest,
    max({{ outcome }})::double as largest
    {%- if varies or weighted %},
    count(*)::double as users
    {%- endif %}
from {% if varies %}weighted{% else %}{{ assignment }}{% endif %}
group by all
order by all
