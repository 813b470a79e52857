/* One night's decision about every user.
   Grain: decision_date, experiment, user_id, arm.  Inputs: scores.<experiment>, decisions.suppressions,
   decisions.treat_list (earlier nights).
   Bound: $decision_date, $experiment, $arm, $learner, $budget, $size, $threshold, $model_version, $salt;
   $cost; $least_score, at or below which only explorers may be treated; $holdout and $explore, shares of
   users; $cap and $cap_days, at most so many treatments in so many days.

   One salted md5 of the user id draws, for good: the persistent holdout, who is never treated; and the
   explorers, who are treated whatever their score. An explorer's place in the order is drawn, everybody
   else's follows the score, and the first $size are treated. So the list is of exact size, and the list of
   a smaller budget lies within that of a larger one. */
with drawn as (
    select
        user_id,
        {{ score }}::float as score,
        md5_number_lower({{ bind.salt }} || '/list/' || user_id) as hash
    from {{ scores }}
    where arm = {{ bind.arm }}
),

stopped as (
    select
        user_id,
        reason
    from {{ suppressions }}
    where experiment = {{ bind.experiment }} and (until is null or until >= {{ bind.decision_date }}::date)
),

contacted as (
    select user_id
    from {{ treat_list }}
    where experiment = {{ bind.experiment }}
        and treated
        and decision_date < {{ bind.decision_date }}::date
        and decision_date > {{ bind.decision_date }}::date - {{ bind.cap_days }}::integer
    group by user_id
    having count(*) >= {{ bind.cap }}
),

grouped as (
    select
        drawn.user_id,
        drawn.score,
        drawn.hash,
        coalesce(stopped.reason, 'contact_cap') as stop_reason,
        case
            when drawn.hash / 18446744073709551616.0 < {{ bind.holdout }} then 'holdout'
            when stopped.user_id is not null or contacted.user_id is not null then 'suppressed'
            when drawn.hash / 18446744073709551616.0 < {{ bind.holdout }} + {{ bind.explore }} then 'explore'
            when drawn.score <= {{ bind.least_score }} then 'no_value'
            else 'ranked'
        end as role
    from drawn
    left join stopped using (user_id)
    left join contacted using (user_id)
),

-- Places from 0 to 1: by score among the ranked, drawn from the hash's low digits for explorers.
placed as (
    select
        *,
        case role
            when 'explore' then (hash % 1000003) / 1000003.0
            when 'ranked'
                then (row_number() over (partition by role order by score desc, hash asc, user_id asc) - 0.5)
                    / count(*) over (partition by role)
        end as place
    from grouped
),

ordered as (
    select
        *,
        case
            when place is not null
                then row_number() over (partition by place is null order by place, hash, user_id)
        end as rank
    from placed
),

cut as (
    select
        least({{ bind.size }} / greatest(count(rank), 1), 1) as share, -- of explorers who are treated
        min(score) filter (where role = 'ranked' and rank <= {{ bind.size }}) as lowest
    from ordered
)

select
    {{ bind.decision_date }}::date as decision_date,
    {{ bind.experiment }}::varchar as experiment,
    ordered.user_id,
    {{ bind.arm }}::varchar as arm,
    case
        when ordered.role = 'no_value' then 'no_treat'
        when ordered.role <> 'ranked' then ordered.role
        when ordered.rank <= {{ bind.size }} then 'treat'
        else 'no_treat'
    end as decision,
    case
        when ordered.role = 'holdout' then 'holdout'
        when ordered.role = 'suppressed' then ordered.stop_reason
        when ordered.role = 'no_value' then 'not_worth_its_cost'
        when ordered.rank <= {{ bind.size }} then 'within_budget'
        else 'beyond_budget'
    end as reason,
    coalesce(ordered.rank <= {{ bind.size }}, false) as treated,
    ordered.score,
    ordered.rank,
    {{ bind.threshold }}::float as threshold,
    {{ bind.budget }}::double as budget,
    {{ bind.cost }}::double as cost,
    -- The draws decide who is ranked; of those, the score decides.
    case
        when ordered.role = 'suppressed' then 0
        else {{ bind.explore }} * cut.share
            + (1 - {{ bind.holdout }} - {{ bind.explore }}) * coalesce(ordered.score >= cut.lowest, false)::integer
    end::double as propensity,
    {{ bind.learner }}::varchar as learner,
    {{ bind.model_version }}::varchar as model_version
from ordered
cross join cut
order by ordered.rank nulls last, ordered.user_id
