/* Gives each row of a list over arms with quotas its arm: the one that the assignment gives, and of explorers any arm,
   by lower bits of their draw, as long as explorers have places of it. The propensity becomes that of getting
   this very arm: chance gives explorers each arm as often as it gave it, and the score gives users of equal effects
   an arm with their share of its places.
   Grain: decision_date, experiment, campaign, user_id of decisions.treat_list.  Inputs: decisions.treat_list; the
   night's roles; best_arms, each user's arm; offer_shares, the share of users of equal effects who get an arm;
   chance_arms, all arms by place, with the largest number of explorers.
   Bound: $decision_date, $experiment, $campaign; $holdout and $explore, shares of users; $arm_count, number of arms. */
with given as (
    select
        best_arms.user_id,
        best_arms.offer,
        roles.excluded_for is not null as is_excluded,
        roles.role = 'explore' as explores,
        if(explores, chance_arms.chance_arm, best_arms.arm) as arm,
        if(explores, chance_arms.chance_cost, best_arms.cost) as cost,
        explores and row_number() over (
            partition by explores, chance_arms.chance_arm
            order by roles.draw, best_arms.user_id
        ) > chance_arms.most_explorers as is_too_many
    from best_arms
    inner join {{ roles }} as roles using (user_id)
    inner join chance_arms on chance_arms.place = floor(roles.draw * 1099511627776)::bigint % {{ bind.arm_count }}
),

explored as (
    select
        given.arm,
        count(*) filter (list.treated and not given.is_too_many) as n
    from given
    inner join {{ treat_list }} as list using (user_id)
    where given.explores
        and list.decision_date = {{ bind.decision_date }}::date
        and list.experiment = {{ bind.experiment }}
        and list.campaign = {{ bind.campaign }}
    group by given.arm
),

explorers as (
    select greatest(count(*), 1) as n
    from {{ roles }}
    where role = 'explore'
),

chances as (
    select
        given.*,
        coalesce(explored.n, 0) / explorers.n as by_chance,
        coalesce(offer_shares.share, 0) as by_score
    from given
    cross join explorers
    left join explored using (arm)
    left join offer_shares using (offer, arm)
)

update {{ treat_list }} as list
set
    arm = chances.arm,
    cost = chances.cost,
    treated = list.treated and not chances.is_too_many,
    reason = if(list.treated and chances.is_too_many, 'arm_is_full', list.reason),
    propensity = if(
        chances.is_excluded,
        0,
        {{ bind.explore }} * chances.by_chance + (1 - {{ bind.holdout }} - {{ bind.explore }}) * chances.by_score
    )
from chances
where list.user_id = chances.user_id
    and list.decision_date = {{ bind.decision_date }}::date
    and list.experiment = {{ bind.experiment }}
    and list.campaign = {{ bind.campaign }}
