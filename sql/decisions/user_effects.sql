/* The predicted effect of each arm on each user, by the learner that decides about the arm.
   Grain: user_id.  Inputs: scores.<experiment>.  Bound: $arm_<k>, each treatment arm. */
select
    user_id,
    {% for effect in effects -%}
        max({{ effect.score }}) filter (arm = {{ effect.arm }})::double as {{ effect.name }}
        {%- if not loop.last %},{% endif %}
    {% endfor %}
from {{ scores }}
group by user_id
