/* Measured outcomes of a night's list: treated users compared with users of the holdout group whom the list would
   have treated, and treated explorers compared with the whole holdout group.
   Grain: comparison.  Inputs: decisions.treat_list, the night's outcomes (user_id, y), and the users' raw table where
   the experiment declares clusters.
   Bound: $decision_date, $experiment, $campaign.
   With clusters, the users' influences on the difference in means are added up by cluster and squared. A user of the
   list whom the raw table no longer has is alone. */
with measured as (
    select
        {% if cluster %}coalesce(users.{{ cluster }}::varchar, 'user ' || outcomes.user_id) as cluster,{% endif %}
        list.decision,
        list.selected,
        list.treated,
        list.reason,
        outcomes.y
    from {{ treat_list }} as list
    inner join {{ outcome_rows }} as outcomes using (user_id)
    {% if cluster %}left join {{ raw }} as users using (user_id){% endif %}
    where list.decision_date = {{ bind.decision_date }}::date
        and list.experiment = {{ bind.experiment }}
        and list.campaign = {{ bind.campaign }}
),

compared as (
    select
        'list' as comparison,
        {% if cluster %}cluster,{% endif %}
        treated,
        y
    from measured
    where selected and decision in ('treat', 'holdout')
    union all
    select
        'explore' as comparison,
        {% if cluster %}cluster,{% endif %}
        treated,
        y
    from measured
    -- Explorers reach their cap whatever their score, so a holdout user's cap, which depends on the score, is ignored.
    where (decision = 'explore' and treated) or (decision = 'holdout' and reason in ('holdout', 'contact_cap'))
),

means as (
    select
        comparison,
        count(*) filter (treated) as n_treated,
        count(*) filter (not treated) as n_control,
        avg(y) filter (treated) as mean_treated,
        avg(y) filter (not treated) as mean_control,
        var_samp(y) filter (treated) as variance_treated,
        var_samp(y) filter (not treated) as variance_control
    from compared
    group by comparison
)
{%- if cluster %},

influences as (
    select
        compared.comparison,
        compared.cluster,
        (means.n_treated + means.n_control) * case
            when compared.treated then (compared.y - means.mean_treated) / means.n_treated
            else (means.mean_control - compared.y) / means.n_control
        end as influence
    from compared
    inner join means using (comparison)
),

by_cluster as (
    select
        comparison,
        cluster,
        sum(influence) as influence
    from influences
    group by comparison, cluster
),

squares as (
    select
        comparison,
        count(*) as clusters,
        sum(influence * influence) as squares,
        max(influence * influence) as largest
    from by_cluster
    group by comparison
)
{%- endif %}

select
    means.*
    {%- if cluster %},
    squares.* exclude (comparison)
    {%- endif %}
from means
{% if cluster %}inner join squares using (comparison){% endif %}
order by means.comparison
