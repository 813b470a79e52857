/* The predicted effect of each arm on each user, by the learner that decides about the arm.  Where whole clusters are
   treated: the mean effect over the cluster's members who may be treated, and no other users.
   Grain: user_id.  Inputs: scores.<experiment>; the night's roles, where whole clusters are treated.
   Bound: $arm_<k>, each treatment arm. */
with effects as (
    select
        user_id,
        {% for effect in effects -%}
            max({{ effect.score }}) filter (arm = {{ effect.arm }})::double as {{ effect.name }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from {{ scores }}
    group by user_id
)

{% if whole_clusters %}
    select
        unnest(users) as user_id,
        * exclude (users)
    from (
        select
            list(effects.user_id order by effects.user_id) as users,
            -- A list adds in the order of user ids, so no mean depends on the order of rows.
            {% for effect in effects -%}
                list_avg(list(effects.{{ effect.name }} order by effects.user_id)) as {{ effect.name }}
                {%- if not loop.last %},{% endif %}
            {% endfor %}
        from effects
        inner join {{ roles }} as roles using (user_id)
        where roles.role in ('ranked', 'explore')
        group by roles.cluster
    )
{% else %}
    select *
    from effects
{% endif %}
