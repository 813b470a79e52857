/* The share of the users whom a list treats for their score that the treatment will reach, by held-out users of the
   arm: each counts with the share of the list's users of the same score who are treated.
   Grain: one row.
   Inputs: decisions.treat_list; assignment.<experiment> with an exposure; scores.<experiment>.
   Bound: $decision_date, $experiment, $campaign, $arm.
   The share has the error of a ratio: weight * (exposure - share) of users.
   {%- if clustered %} They are added up by cluster.{% endif %} */
with treated_shares as ({{ treated_shares }}),

users as (
    select
        {% if clustered %}assignment.cluster{% else %}assignment.user_id{% endif %} as unit,
        assignment.exposure,
        treated_shares.share{% if varies %} / assignment.propensity{% endif %}
        {%- if weighted %} * assignment.weight{% endif %} as weight
    from {{ assignment }} as assignment
    inner join {{ scores }} as scores
        on assignment.user_id = scores.user_id and scores.arm = {{ bind.arm }}
    inner join treated_shares on scores.{{ score }}::float = treated_shares.score
    where assignment.split = 'holdout' and assignment.arm = {{ bind.arm }} and treated_shares.share > 0
),

total as (
    select
        sum(weight::decimal(38, 12))::double as weights,
        sum((weight * exposure)::decimal(38, 12))::double / weights as reach
    from users
),

by_unit as (
    select sum((users.weight * (users.exposure - total.reach))::decimal(38, 12))::double as influence
    from users
    cross join total
    group by users.unit
)

select
    any_value(total.reach) as reach,
    sqrt(
        sum((by_unit.influence * by_unit.influence)::decimal(38, 12))::double
        {% if clustered %}* count(*) / nullif(count(*) - 1, 0){% endif %}
    ) / any_value(total.weights) as std_error
from by_unit
cross join total
having count(*) > 0
