/* What one night's list gives of each arm, and how many of these users got another one in the previous list.
   Grain: arm.  Inputs: decisions.treat_list.
   Bound: $decision_date, $experiment, $campaign, $previous_date (null: nobody changed). */
with tonight as (
    from {{ treat_list }}
    where decision_date = {{ bind.decision_date }}::date
        and experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
        and treated
),

before as (
    select
        user_id,
        arm
    from {{ treat_list }}
    where decision_date = {{ bind.previous_date }}::date
        and experiment = {{ bind.experiment }}
        and campaign = {{ bind.campaign }}
        and treated
)

select
    tonight.arm,
    count(*) as treated,
    count(*) filter (tonight.decision = 'explore') as explored,
    sum(tonight.cost) as spent,
    count(*) filter (before.arm <> tonight.arm) as changed
from tonight
left join before using (user_id)
group by tonight.arm
order by tonight.arm
