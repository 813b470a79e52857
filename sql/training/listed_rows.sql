/* One night's list as rows to learn from: who was treated, by which chance, and what happened.
   Grain: user_id.  Inputs: decisions.treat_list; a table (user_id, y) for each outcome.
   Bound: $decision_date, $experiment, $campaign. */
select
    list.decision_date,
    list.user_id,
    list.treated,
    list.propensity,
    list.feature_snapshot
    {%- for outcome in outcomes %},
    {{ outcome.rows }}.y::{{ outcome.type }} as {{ outcome.name }}
    {%- endfor %}
from {{ treat_list }} as list
{% for outcome in outcomes %}inner join {{ outcome.rows }} using (user_id)
{% endfor -%}
where list.decision_date = {{ bind.decision_date }}::date
    and list.experiment = {{ bind.experiment }}
    and list.campaign = {{ bind.campaign }}
