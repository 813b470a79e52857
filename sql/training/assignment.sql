/* Each user's arm, outcomes, split and fold.
   Grain: user_id.  Inputs: raw.<experiment>.
   Bound: $salt; $holdout, the share held out; $folds; $arm_values and $arm_names, the arms' values in the raw
   file and their names. Split and fold come from one salted md5 of the user id, the split from its high digits
   and the fold from its remainder, so they do not depend on versions or row order. Rows have the raw table's
   order.
   {%- if cluster %} The hash is that of the cluster.{% endif %} */
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
    {%- for outcome in outcomes %}, {{ outcome.column }}::{{ outcome.type }} as {{ outcome.name }}{% endfor %}
from hashed
