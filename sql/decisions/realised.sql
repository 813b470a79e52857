/* Measured outcomes of a night's list: treated users compared with users of the holdout group whom the list would
   have treated, and treated explorers compared with the whole holdout group.
   By arm, where each user's arm is chosen and this is asked for.
   Grain: comparison (and arm).  Inputs: decisions.treat_list, the night's outcomes (user_id, y), and the users' raw
   table where the experiment declares clusters.
   Bound: $decision_date, $experiment, $campaign.
   With clusters, the users' influences on the difference in means are added up by cluster and squared. A user of the
   list whom the raw table no longer has is alone. */
with measured as (
    select
        {% if cluster %}coalesce(users.{{ cluster }}::varchar, 'user ' || outcomes.user_id) as cluster,{% endif %}
        {% if by_arm %}list.arm,{% endif %}
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

{% if by_arm %}
    explored as (
        select distinct arm
        from measured
        where decision = 'explore' and treated
    ),
{% endif %}

compared as (
    select
        'list' as comparison,
        {% if by_arm %}arm,{% endif %}
        {% if cluster %}cluster,{% endif %}
        treated,
        y
    from measured
    where selected and decision in ('treat', 'holdout')
    union all
    select
        'explore' as comparison,
        {% if by_arm %}explored.arm,{% endif %}
        {% if cluster %}measured.cluster,{% endif %}
        measured.treated,
        measured.y
    from measured
    {% if by_arm %}
        -- The whole holdout group is the control of every arm that explorers got.
        inner join explored on measured.arm = explored.arm or measured.decision = 'holdout'
    {% endif %}
    -- Explorers reach their cap whatever their score, so a holdout user's cap, which depends on the score, is ignored.
    where
        (measured.decision = 'explore' and measured.treated)
        or (measured.decision = 'holdout' and measured.reason in ('holdout', 'contact_cap'))
),

means as (
    select
        comparison,
        {% if by_arm %}arm,{% endif %}
        count(*) filter (treated) as n_treated,
        count(*) filter (not treated) as n_control,
        avg(y) filter (treated) as mean_treated,
        avg(y) filter (not treated) as mean_control,
        var_samp(y) filter (treated) as variance_treated,
        var_samp(y) filter (not treated) as variance_control
    from compared
    group by comparison{% if by_arm %}, arm{% endif %}
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
order by means.comparison{% if by_arm %}, means.arm{% endif %}
