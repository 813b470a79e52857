/* Users of one contrast as rows, for learners that cannot work on cells; with more than $max_users, a sample by
   salted md5.
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
    -- The first users in the order have a small md5, so only users with a small md5 are sorted.
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
