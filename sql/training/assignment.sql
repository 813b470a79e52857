/* Each user's arm, outcomes, split and fold.
   Grain: user_id.  Inputs: raw.<experiment>.
   Bound: $salt; $holdout, the share held out; $folds; $arm_values and $arm_names, the arms' values in the raw
   file and their names. Split and fold come from one salted md5 of the user id, the split from its high digits
   and the fold from its remainder, so they do not depend on versions or row order. Rows have the raw table's
   order.
   {%- if cluster %} The hash is that of the cluster.{% endif %}
   {%- if propensity_column or strata %} propensity is the chance of the treatment.{% endif %}
   {%- if strata and counted %} It is counted: the treated share of the stratum's users. Bound: $treated_value.
   {%- elif strata %} It is that of the user's stratum. Bound: $stratum_values and $stratum_propensities.
   {%- endif %}
   {%- if weight %} weight is the sampling weight over its mean.{% endif %}
   {%- if exposure %} exposure is 1 where the treatment reached the user, else 0.{% endif %} */
with hashed as (
    select
        *,
        md5_number_lower({{ bind.salt }} || '/' || {% if cluster -%}
            {{ cluster }}::varchar
        {%- else -%}
            user_id
        {%- endif %}) as _user_hash
    from {{ raw }}
)

select
    user_id,
    list_extract(
        {{ bind.arm_names }}, list_position({{ bind.arm_values }}, {{ arm_column }}::varchar)
    )::varchar as arm,
    case when _user_hash / 18446744073709551616.0 < {{ bind.holdout }} then 'holdout' else 'train' end as split,
    (_user_hash % {{ bind.folds }}::ubigint)::tinyint as fold
    {%- if cluster %}, {{ cluster }}::varchar as cluster{% endif %}
    {%- if propensity_column %}, {{ propensity_column }}::double as propensity
    {%- elif strata and counted %},
    avg(({{ arm_column }}::varchar = {{ bind.treated_value }})::double)
        over (partition by {{ strata }})
        as propensity
    {%- elif strata %},
    list_extract(
        {{ bind.stratum_propensities }}, list_position({{ bind.stratum_values }}, [{{ stratum_key }}])
    )::double as propensity
    {%- endif %}
    {%- if weight %},
    {{ weight }}::double * count(*) over () / (sum({{ weight }}::decimal(38, 12)) over ())::double as weight
    {%- endif %}
    {%- if exposure %}, {{ exposure }}::double as exposure{% endif %}
    {%- for outcome in outcomes %}, {{ outcome.column }}::{{ outcome.type }} as {{ outcome.name }}{% endfor %}
from hashed
