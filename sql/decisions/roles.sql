/* The role of each user in one night's list.
   Grain: user_id.  Inputs: scores.<experiment>; raw.<experiment> if a column holds the users' costs or values;
   the night's excluded users with the reason.
   Bound: $arm, $salt; $cost and $value of every user; $money, true if the budget is money; $fill, true if other
   budgets are filled with users who are not worth treating; $holdout, $explore and $usual, shares of users;
   $near, the share of users near the cut about whom chance decides; $band_low and $band_high, the scores between which
   users are near the cut.

   One salted md5 of the user id permanently draws the holdout group, which is never treated, the explorers, about
   whom chance decides, and the users about whom the old rule decides: by usual_choice, where it is not chance.
   The rule is in sql/rules.  Where clusters are declared, the md5 is that of
   the cluster; only ties between users are decided by the user id.  Where whole clusters are treated, a
   cluster's rank and worth follow from the means over its members who may be treated. */
with drawn as (
    select
        scores.user_id,
        scores.{{ score }}::float as score,
        {% if cluster %}
            decisions.list_hash({{ bind.salt }}, raw.{{ cluster }}::varchar) as hash,
        {% else %}
            decisions.list_hash({{ bind.salt }}, scores.user_id) as hash,
        {% endif %}
        {% if cost_column %}raw.{{ cost_column }}{% else %}{{ bind.cost }}{% endif %}::double as cost,
        {% if value_column %}raw.{{ value_column }}{% else %}{{ bind.value }}{% endif %}::double as value,
        {{ usual_value }}::double as usual_choice
    from {{ scores }} as scores
    {% if cost_column or value_column or cluster or usual_column %}
        inner join {{ raw }} as raw using (user_id)
    {% endif %}
    where scores.arm = {{ bind.arm }}
),

judged as (
    select
        drawn.*,
        excluded.reason as excluded_for,
        excluded.user_id is not null as is_excluded,
        -- Ranked users are sorted by this; it is the score if all users have the same cost and value.
        {% if cost_column or value_column %}
            case
                when {{ bind.money }} then drawn.value * drawn.score / drawn.cost
                else coalesce(drawn.value * drawn.score - drawn.cost, drawn.score)
            end
        {% else %}
            drawn.score
        {% endif %}::double as priority,
        case
            when {{ bind.money }} then coalesce(drawn.value * drawn.score > drawn.cost, false)
            when {{ bind.fill }} then true
            else coalesce(drawn.value * drawn.score > drawn.cost, drawn.score > 0)
        end as worth
    from drawn
    left join {{ excluded }} as excluded using (user_id)
),

{% if whole_clusters %}
    means as (
        -- A list adds in the order of user ids, so no sum depends on the order of rows.
        select
            hash,
            {% if cost_column or value_column %}
                case
                    when {{ bind.money }}
                        then list_sum(list(value * score order by user_id)) / list_sum(list(cost order by user_id))
                    else list_avg(list(priority order by user_id))
                end
            {% else %}
                list_avg(list(priority order by user_id))
            {% endif %} as priority,
            {% if all_worth %}
                true
            {% else %}
                list_sum(list(coalesce(value * score - cost, score) order by user_id)) > 0
            {% endif %} as worth
        from judged
        where not is_excluded
        group by hash
    ),
{% endif %}

valued as (
    {% if whole_clusters %}
        select
            judged.* replace (
                coalesce(means.priority, judged.priority) as priority,
                coalesce(means.worth, judged.worth) as worth
            )
        from judged
        left join means using (hash)
    {% else %}
        select *
        from judged
    {% endif %}
)

select
    user_id,
    {% if whole_clusters %}hash as cluster,{% endif %}
    score,
    cost,
    value,
    usual_choice,
    excluded_for,
    priority,
    worth,
    {% if cluster and not whole_clusters %}
        (decisions.list_hash({{ bind.salt }}, user_id) % 4294967296)::uinteger as tie,
    {% else %}
        (hash % 4294967296)::uinteger as tie,
    {% endif %}
    decisions.draw_of(hash) as draw,
    {% if near %}
        coalesce(score >= {{ bind.band_low }}::float and score < {{ bind.band_high }}::float, false) as near_cut,
        -- Users who are held out or treated as usual are compared with ranked ones, of whom this part explores.
        near_cut and {{ bind.near }} / (1 - {{ bind.holdout }} - {{ bind.explore }} - {{ bind.usual }}) > case
            when draw < {{ bind.holdout }} then draw / {{ bind.holdout }}
            when draw >= 1 - {{ bind.usual }} then (1 - draw) / {{ bind.usual }}
            else 1
        end
    {% else %}
        false as near_cut,
        false
    {% endif %} as sets_aside,
    decisions.role_of(
        draw, is_excluded, worth, {{ bind.holdout }}, {{ bind.explore }}
        {%- if usual or near %}, usual_share := {{ bind.usual }}{% endif %}
        {%- if near %}, near_share := if(near_cut, {{ bind.near }}, 0){% endif %}
    )::enum('ranked', 'explore', 'holdout', 'suppressed', 'no_value', 'usual', 'explore_near') as role
from valued
