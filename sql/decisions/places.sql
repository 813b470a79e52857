/* The order in which users are treated as the budget grows: ranked users by priority, and explorers spread evenly
   among them. The k-th of E explorers comes when (k - 1/2) / E of all places are passed. Example: with 4 ranked
   users and 1 explorer, the explorer gets rank 3 of 5.
   Users who are treated as usual are spread among all of these in the same way, by draw or by the response model; if a
   column holds the old system's choices, the users whom it chooses come before all others.
   Of users near the cut about whom chance decides, one half comes before all these, and the other half after them.
   Where whole clusters are treated, the members of each have neighbouring places.
   Grain: user_id of users who can be treated.  Inputs: the night's roles, or a range of them.
   Bound: $ranked and $explorers, the numbers of these users; $ranked_before and $explorers_before, their numbers
   before the range; $usual_users, the number of users who are treated as usual; $near_treated, half of the users near
   the cut; $before_near, the number of users before the other half. */
with ordered as (
    select
        *,
        row_number() over (
            order by priority desc, tie asc{% if whole_clusters %}, cluster asc{% endif %}, user_id asc
        ) + {{ bind.ranked_before }}::bigint as place
    from {{ roles }}
    where role = 'ranked'
    union all by name
    select
        *,
        row_number() over (
            order by draw{% if whole_clusters %}, cluster{% endif %}, user_id
        ) + {{ bind.explorers_before }}::bigint as place
    from {{ roles }}
    where role = 'explore'
),

among_both as (
    select
        *,
        case
            when role = 'ranked'
                then place
                    + (2 * (place - 1) * {{ bind.explorers }} + {{ bind.ranked }} + {{ bind.explorers }})
                    // (2 * {{ bind.ranked }})
            else ((2 * place - 1) * ({{ bind.ranked }} + {{ bind.explorers }}) + 2 * {{ bind.explorers }} - 1)
                // (2 * {{ bind.explorers }})
        end as rank
    from ordered
),

with_usual as (
    {% if not usual %}
        from among_both
    {% else %}
        select * replace (
            {% if usual_column %}
                rank + {{ bind.usual_users }}
            {% else %}
                rank
                + (
                    2 * (rank - 1) * {{ bind.usual_users }}
                    + {{ bind.ranked }} + {{ bind.explorers }} + {{ bind.usual_users }}
                )
                // (2 * ({{ bind.ranked }} + {{ bind.explorers }}))
            {% endif %} as rank
        )
        from among_both
        union all by name
        select
            *,
            row_number() over (order by {% if usual_response %}usual_choice desc, tie{% else %}draw{% endif %}, user_id)
                as place,
            {% if usual_column %}
                place
            {% else %}
                ((2 * place - 1) * ({{ bind.ranked }} + {{ bind.explorers }} + {{ bind.usual_users }})
                + 2 * {{ bind.usual_users }} - 1)
                // (2 * {{ bind.usual_users }})
            {% endif %} as rank
        from {{ roles }}
        where role = 'usual'{% if usual_column %} and usual_choice = 1{% endif %}
    {% endif %}
)

{% if not near %}
    from with_usual
{% else %}
    select * replace (rank + {{ bind.near_treated }} as rank)
    from with_usual
    union all by name
    select
        *,
        row_number() over (order by draw, user_id) as place,
        if(place <= {{ bind.near_treated }}, place, place - {{ bind.near_treated }} + {{ bind.before_near }}) as rank
    from {{ roles }}
    where role = 'explore_near'
{% endif %}
