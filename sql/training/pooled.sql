/* Rows to learn from: those of lists, a row a user and night, and those of the experiment.
   Grain: row_id.  Inputs: the listed rows that are learned from; features as they were kept; assignment.<experiment>
   and features.<experiment>.
   Bound: $arm, $control, their names; $salt, $holdout, $folds, see assignment.sql; $propensity, the designed chance of
   the experiment; $with_experiment, false where only lists count, all of whose users are then held out.
   A user has the split and fold that the experiment gives to the id, so nobody trains models and judges them. */
with listed as (
    select
        list.user_id as person,
        list.decision_date,
        if(list.treated, {{ bind.arm }}, {{ bind.control }})::varchar as arm,
        list.propensity,
        {{ outcome_list }},
        md5_number_lower({{ bind.salt }} || '/' || list.user_id) as user_hash,
        features.* exclude (user_id, feature_snapshot)
    from {{ listed }} as list
    inner join {{ kept }} as features using (user_id, feature_snapshot)
),

of_lists as (
    select
        * exclude (user_hash),
        case
            when not {{ bind.with_experiment }} then 'holdout'
            when user_hash / 18446744073709551616.0 < {{ bind.holdout }} then 'holdout'
            else 'train'
        end as split,
        (user_hash % {{ bind.folds }}::ubigint)::tinyint as fold
    from listed
),

of_experiment as (
    select
        users.user_id as person,
        null::date as decision_date,
        users.arm,
        {% if varies %}users.propensity{% else %}{{ bind.propensity }}::double as propensity{% endif %},
        {{ outcome_list }},
        features.* exclude (user_id),
        users.split,
        users.fold
    from {{ assignment }} as users
    inner join {{ features }} as features using (user_id)
    where users.arm in ({{ bind.arm }}, {{ bind.control }}) and {{ bind.with_experiment }}
)

select
    row_number() over (order by decision_date nulls first, person) as row_id,
    *
from (
    from of_experiment
    union all by name
    from of_lists
) as rows
