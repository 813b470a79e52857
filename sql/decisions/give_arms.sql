/* Gives each row of a list over several arms its arm: that of the user's offer, and of explorers any arm, by lower bits
   of their draw. The propensity becomes that of getting this very arm: chance gives an explorer every arm alike, and
   the score gives a user one arm only.
   Grain: decision_date, experiment, campaign, user_id of decisions.treat_list.  Inputs: decisions.treat_list; the
   night's roles; best_arms, each user's arm; chance_arms, all arms by place.
   Bound: $decision_date, $experiment, $campaign; $explore, share of explorers;
   $arm_count, number of arms. */
with given as (
    select
        best_arms.user_id,
        roles.role = 'explore' as explores,
        best_arms.arm as best_arm,
        if(explores, chance_arms.chance_arm, best_arms.arm) as arm,
        if(explores, chance_arms.chance_cost, best_arms.cost) as cost
    from best_arms
    inner join {{ roles }} as roles using (user_id)
    inner join chance_arms on chance_arms.place = floor(roles.draw * 1099511627776)::bigint % {{ bind.arm_count }}
),

explored as (
    select count(*) filter (treated) / greatest(count(*), 1) as share
    from {{ treat_list }}
    where decision_date = {{ bind.decision_date }}::date
        and experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
        and decision = 'explore'
)

update {{ treat_list }} as list
set
    arm = given.arm,
    cost = given.cost,
    propensity = case
        when list.propensity = 0 then 0
        when given.arm = given.best_arm
            then list.propensity - {{ bind.explore }} * explored.share * (1 - 1 / {{ bind.arm_count }})
        else {{ bind.explore }} * explored.share / {{ bind.arm_count }}
    end
from given, explored
where list.user_id = given.user_id
    and list.decision_date = {{ bind.decision_date }}::date
    and list.experiment = {{ bind.experiment }}
    and list.campaign = {{ bind.campaign }}
