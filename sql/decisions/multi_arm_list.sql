/* The arm of each user: all users' moves from arm to arm are taken, highest effect per cost first, until the
   budget is spent. Among moves of equal level, a salted md5 of the user id decides.  Where whole
   clusters are treated, all members take a move together: the budget cuts no cluster.
   Grain: user_id.  Inputs: the night's roles; each user's effects; all distinct effects, numbered as offers, and
   the moves of each offer (offer, level, arm, effect, cost, price).
   Bound: $decision_date, $experiment, $budget, $model_version.  Money is exact to a millionth. */
with moving as (
    select
        roles.user_id,
        moves.level,
        moves.arm,
        moves.effect,
        moves.cost,
        sum(moves.price::decimal(18, 6)) over (
            {% if whole_clusters %}
                order by moves.level, roles.tie, roles.cluster
                range between unbounded preceding and current row
            {% else %}
                order by moves.level, roles.tie, roles.user_id
                rows between unbounded preceding and current row
            {% endif %}
        ) as spent
    from {{ roles }} as roles
    inner join {{ user_effects }} using (user_id)
    inner join {{ offers }} using ({{ effect_list }})
    inner join {{ moves }} as moves using (offer)
    where roles.role in ('ranked', 'explore')
),

given as (
    select
        user_id,
        arg_max(arm, level) filter (spent <= {{ bind.budget }}::decimal(24, 6)) as arm,
        arg_max(effect, level) filter (spent <= {{ bind.budget }}::decimal(24, 6)) as effect,
        arg_max(cost, level) filter (spent <= {{ bind.budget }}::decimal(24, 6)) as cost
    from moving
    group by user_id
)

select
    {{ bind.decision_date }}::date as decision_date,
    {{ bind.experiment }}::varchar as experiment,
    roles.user_id,
    given.arm,
    case
        when roles.role not in ('ranked', 'explore') then roles.role::varchar
        when given.arm is null then 'no_treat'
        else 'treat'
    end as decision,
    case
        when roles.role = 'holdout' then coalesce(roles.excluded_for, 'holdout')
        when roles.role = 'suppressed' then roles.excluded_for
        when given.arm is not null then 'within_budget'
        when given.user_id is not null then 'beyond_budget'
        else 'no_arm_helps'
    end as reason,
    coalesce(given.effect, 0)::double as effect,
    coalesce(given.cost, 0)::double as cost,
    {{ bind.budget }}::double as budget,
    coalesce(sum(given.cost) over (), 0)::double as spent,
    {{ bind.model_version }}::varchar as model_version
from {{ roles }} as roles
left join given using (user_id)
order by roles.user_id
