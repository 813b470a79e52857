/* One night's decision about every user.
   Grain: decision_date, experiment, campaign, user_id.  Inputs: the night's roles and ordered users.
   Bound: $decision_date, $experiment, $campaign, $arm, $learner, $model_version, $feature_snapshot, $budget (share
   of users), $threshold; $ranked_places and $explorer_places, how many ranked users and explorers are treated;
   $by_threshold, true if ranked users are treated from the threshold up instead; $cut_priority and $cut_tie, the
   last treated ranked user; $cut_share, treated share of the users with that priority; $explore_share, treated share
   of the explorers; $holdout, $explore and $usual, shares of users; $usual_places, how many users are treated as usual;
   $usual_share, their treated share where chance decides; $usual_cut and $usual_cut_tie, the last user whom the old
   rule treats, and $usual_cut_share, the treated share of users with that choice; $near, the
   share of users near the cut about whom chance decides; $near_places, how many of them are treated; $near_share, their
   treated share. */
with placed as (
    select *
    from ({{ ordered_users }})
    union all by name
    select
        *,
        null::bigint as place,
        null::bigint as rank
    from {{ roles }}
    where role not in ('ranked', 'explore', 'explore_near'{% if usual %}, 'usual'{% endif %})
        {%- if usual_column %} or (role = 'usual' and usual_choice = 0){% endif %}
),

decided as (
    select
        *,
        excluded_for is null and worth and not sets_aside and (
            priority > {{ bind.cut_priority }}::double
            or (priority = {{ bind.cut_priority }}::double and tie <= {{ bind.cut_tie }}::uinteger)
        ) as selected,
        {% if usual_column or usual_response %}
            excluded_for is null and not sets_aside and (
                usual_choice > {{ bind.usual_cut }}::double
                or (usual_choice = {{ bind.usual_cut }}::double and tie <= {{ bind.usual_cut_tie }}::uinteger)
            )
        {% else %}
            null::boolean
        {% endif %} as usual_selected,
        case role
            when 'ranked' then {{ bind.ranked_places }}
            when 'explore' then {{ bind.explorer_places }}
            {% if usual %}when 'usual' then {{ bind.usual_places }}{% endif %}
            {% if near %}when 'explore_near' then {{ bind.near_places }}{% endif %}
        end as places,
        role = 'ranked' and {{ bind.by_threshold }}::boolean as threshold_decides,
        if(threshold_decides, selected, coalesce(place <= places, false)) as treated
    from placed
)

select
    {{ bind.decision_date }}::date as decision_date,
    {{ bind.experiment }}::varchar as experiment,
    {{ bind.campaign }}::varchar as campaign,
    user_id,
    {{ bind.arm }}::varchar as arm,
    case role
        when 'ranked' then if(treated, 'treat', 'no_treat')
        when 'no_value' then 'no_treat'
        else role::varchar
    end as decision,
    case
        when role = 'holdout' then coalesce(excluded_for, 'holdout')
        when role = 'suppressed' then excluded_for
        when role = 'no_value' then 'not_worth_its_cost'
        when role = 'usual' then if(treated, 'as_usual', 'not_as_usual')
        when threshold_decides then if(treated, 'above_threshold', 'below_threshold')
        else if(treated, 'within_budget', 'beyond_budget')
    end as reason,
    treated,
    selected,
    usual_selected,
    score,
    rank,
    {{ bind.threshold }}::float as threshold,
    {{ bind.budget }}::double as budget,
    cost,
    value,
    -- Draws decide the holdout, the explorers, who is treated as usual, and ties; all else follows from scores.
    case
        when excluded_for is not null then 0
        else {{ bind.explore }} * {{ bind.explore_share }}
            {% if usual_column or usual_response %}
                + {{ bind.usual }} * case
                    when usual_choice > {{ bind.usual_cut }}::double then 1
                    when usual_choice = {{ bind.usual_cut }}::double then {{ bind.usual_cut_share }}
                    else 0
                end
            {% elif usual %}
                + {{ bind.usual }} * {{ bind.usual_share }}
            {% endif %}
            {% if near %}+ if(near_cut, {{ bind.near }} * {{ bind.near_share }}, 0){% endif %}
            + (
                1 - {{ bind.holdout }} - {{ bind.explore }}
                {%- if usual %} - {{ bind.usual }}{% endif %}
                {%- if near %} - if(near_cut, {{ bind.near }}, 0){% endif %}
            ) * case
            when not worth then 0
            when priority > {{ bind.cut_priority }}::double then 1
            when priority = {{ bind.cut_priority }}::double then {{ bind.cut_share }}
            else 0
        end
    end::double as propensity,
    {{ bind.learner }}::varchar as learner,
    {{ bind.model_version }}::varchar as model_version,
    {{ bind.feature_snapshot }}::varchar as feature_snapshot
from decided
