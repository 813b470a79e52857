/* Users of one contrast as rows, for learners that cannot work on cells; a sample by salted md5 where
   there are more than $max_users.
   Grain: user_id.  Inputs: features.<experiment>, assignment.<experiment>.
   Bound: $arm, $control, $salt, $max_users. */
select
    features.*,
    (assignment.arm = {{ bind.arm }})::tinyint as crosscheck_w,
    assignment.{{ outcome }}::double as crosscheck_y,
    assignment.fold as crosscheck_fold,
    assignment.split = 'train' as crosscheck_train
from {{ features }} as features
inner join {{ assignment }} as assignment using (user_id)
where assignment.arm in ({{ bind.arm }}, {{ bind.control }})
order by
    md5_number_lower({{ bind.salt }} || '/crosscheck/' || features.user_id),
    features.user_id
limit {{ bind.max_users }}
