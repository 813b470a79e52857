/* Units that were assigned, by stratum or, where a column holds each user's chance of the treatment, by twentieth of
   it: their number, the treated, and what was to be expected.
   Grain: stratum.  Inputs: assignment.<experiment>, raw.<experiment>.  Bound: $arm, the treatment. */
with units as (
    select
        {% if strata %}
            {{ stratum_name }} as stratum,
        {% else %}
            floor(assignment.propensity * 20)::integer as twentieth,
        {% endif %}
        assignment.propensity,
        assignment.arm = {{ bind.arm }} as treated
    from {{ assignment }} as assignment
    {% if strata %}inner join {{ raw }} as raw using (user_id){% endif %}
    {% if whole_clusters %}
        qualify row_number() over (partition by assignment.cluster order by assignment.user_id) = 1
    {% endif %}
)

select
    {% if strata %}
        'stratum ' || stratum as name,
    {% else %}
        format('chances from {:.2f} to {:.2f}', min(propensity), max(propensity)) as name,
    {% endif %}
    count(*)::double as n,
    count_if(treated)::double as n_treated,
    sum(propensity::decimal(38, 12))::double as expected,
    sum((propensity * (1 - propensity))::decimal(38, 12))::double as variance
from units
group by {% if strata %}stratum{% else %}twentieth{% endif %}
order by {% if strata %}stratum{% else %}twentieth{% endif %}
