/* One night's decision about every user: the best $size by score are treated, ties in the order of
   a salted md5 of the user id.
   Grain: decision_date, experiment, user_id, arm.  Inputs: scores.<experiment>.
   Bound: $decision_date, $experiment, $arm, $learner, $budget, $size, $threshold, $model_version, $salt. */
with ranked as (
    select
        user_id,
        {{ score }} as score,
        row_number() over (
            order by {{ score }} desc, md5_number_lower({{ bind.salt }} || '/list/' || user_id), user_id
        ) as rank
    from {{ scores }}
    where arm = {{ bind.arm }}
)

select
    {{ bind.decision_date }}::date as decision_date,
    {{ bind.experiment }}::varchar as experiment,
    user_id,
    {{ bind.arm }}::varchar as arm,
    case when rank <= {{ bind.size }} then 'treat' else 'no_treat' end as decision,
    case when rank <= {{ bind.size }} then 'within_budget' else 'beyond_budget' end as reason,
    score::float as score,
    rank,
    {{ bind.threshold }}::float as threshold,
    {{ bind.budget }}::double as budget,
    {{ bind.learner }}::varchar as learner,
    {{ bind.model_version }}::varchar as model_version
from ranked
order by rank
