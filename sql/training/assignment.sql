/* Who was in which arm, what came of it, and who is held out.
   Grain: user_id.  Inputs: raw.<experiment>.
   Bound: $salt; $holdout, the share held out; $folds; $arm_values and $arm_names, the arms in the raw file
   and here. Split and fold are salted md5 of the user id: stable over versions and row order. */
select
    user_id,
    list_extract(
        {{ bind.arm_names }}, list_position({{ bind.arm_values }}, {{ arm_column }}::varchar)
    )::varchar as arm,
    case
        when md5_number_lower({{ bind.salt }} || '/split/' || user_id) / 18446744073709551616.0 < {{ bind.holdout }}
            then 'holdout'
        else 'train'
    end as split,
    (md5_number_lower({{ bind.salt }} || '/fold/' || user_id) % {{ bind.folds }})::tinyint as fold
    {%- for outcome in outcomes %}, {{ outcome.column }}::{{ outcome.type }} as {{ outcome.name }}{% endfor %}
from {{ raw }}
order by user_id
