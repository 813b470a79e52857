/* Users of one contrast as rows, for learners that cannot work on cells; a sample by salted md5 where
   there are more than $max_users.
   Grain: user_id.  Inputs: features.<experiment>, assignment.<experiment>.
   Bound: $arm, $control, $salt, $max_users. */
with placed as (
    select
        *,
        md5_number_lower({{ bind.salt }} || '/crosscheck/' || user_id) as _place
    from {{ assignment }}
    where arm in ({{ bind.arm }}, {{ bind.control }})
),

sampled as (
    select *
    from placed
    -- Who comes first of so many has a small md5: some need to be sorted, not all.
    where placed._place / 18446744073709551616.0 < (2.0 * {{ bind.max_users }} + 1000) / (
        select count(*)
        from {{ assignment }} as everybody
        where everybody.arm in ({{ bind.arm }}, {{ bind.control }})
    )
    order by _place, user_id
    limit {{ bind.max_users }}
)

select
    features.*,
    (sampled.arm = {{ bind.arm }})::tinyint as crosscheck_w,
    sampled.{{ outcome }}::double as crosscheck_y,
    sampled.fold as crosscheck_fold,
    sampled.split = 'train' as crosscheck_train
from sampled
inner join {{ features }} as features using (user_id)
order by sampled._place, sampled.user_id
