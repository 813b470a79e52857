/* The role of each user in one night's list.
   Grain: user_id.  Inputs: scores.<experiment>; raw.<experiment> if a column holds the users' costs or values;
   the night's excluded users with the reason.
   Bound: $arm, $salt; $cost and $value of every user; $money, true if the budget is money; $fill, true if other
   budgets are filled with users who are not worth treating; $holdout and $explore, shares of users.

   One salted md5 of the user id permanently draws the holdout group, which is never treated, and the
   explorers, about whom chance decides.  The rule is in sql/rules. */
with drawn as (
    select
        scores.user_id,
        scores.{{ score }}::float as score,
        decisions.list_hash({{ bind.salt }}, scores.user_id) as hash,
        {% if cost_column %}raw.{{ cost_column }}{% else %}{{ bind.cost }}{% endif %}::double as cost,
        {% if value_column %}raw.{{ value_column }}{% else %}{{ bind.value }}{% endif %}::double as value
    from {{ scores }} as scores
    {% if cost_column or value_column %}inner join {{ raw }} as raw using (user_id){% endif %}
    where scores.arm = {{ bind.arm }}
)

select
    drawn.user_id,
    drawn.score,
    drawn.cost,
    drawn.value,
    excluded.reason as excluded_for,
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
    end as worth,
    (drawn.hash % 4294967296)::uinteger as tie,
    decisions.draw_of(drawn.hash) as draw,
    decisions.role_of(
        draw, excluded.user_id is not null, worth, {{ bind.holdout }}, {{ bind.explore }}
    )::enum('ranked', 'explore', 'holdout', 'suppressed', 'no_value') as role
from drawn
left join {{ excluded }} as excluded using (user_id)
