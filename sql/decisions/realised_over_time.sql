/* Sums that tell what a campaign realised over its measured nights until a date.
   Grain: comparison.  Inputs: decisions.measured, and the users' raw table where the experiment declares clusters.
   Bound: $decision_date, the last night; $experiment, $campaign, $outcome.

   The comparison `usual`: users about whom the score and the old rule differ, under the score (side `engine`) against
   those under the old rule (`usual`); where the old rule is chance, what the list adds to the holdout group less what
   chance adds to it (`drawn`).

   A night's effect is a sum of its sides' mean outcomes with signs; nights are weighted by their treatments.  A user's
   influence on the added outcomes is summed over all nights before it is squared, so a user counts once; where clusters
   are declared, so does a cluster.  `alone` sums square each night by itself. */
with measured as (
    select
        outcomes.decision_date,
        outcomes.user_id,
        {% if cluster %}coalesce(users.{{ cluster }}::varchar, 'user ' || outcomes.user_id) as unit,{% endif %}
        outcomes.part,
        outcomes.selected,
        outcomes.usual_selected,
        outcomes.y,
        coalesce(
            outcomes.expected, avg(outcomes.expected) over (partition by outcomes.decision_date), 0
        ) as expected
    from decisions.measured as outcomes
    {% if cluster %}left join {{ raw }} as users using (user_id){% endif %}
    where outcomes.experiment = {{ bind.experiment }}
        and outcomes.campaign = {{ bind.campaign }}
        and outcomes.outcome = {{ bind.outcome }}
        and not coalesce(outcomes.provisional, false)
        and outcomes.decision_date <= {{ bind.decision_date }}::date
),

sided as (
    select
        * exclude (part, selected, usual_selected),
        {% if not cluster %}user_id as unit,{% endif %}
        part as side
    from measured
    where part in ('treat', 'explore', 'holdout')
    union all
    select
        * exclude (part, selected, usual_selected),
        {% if not cluster %}user_id as unit,{% endif %}
        'selected' as side
    from measured
    where part = 'holdout' and selected
    union all
    select
        * exclude (part, selected, usual_selected),
        {% if not cluster %}user_id as unit,{% endif %}
        case
            when part <> 'usual' then 'engine'
            when usual_selected is null then 'drawn'
            else 'usual'
        end as side
    from measured
    where part = 'usual' or (part in ('treat', 'untreated') and usual_selected <> selected)
),

means as (
    select
        decision_date,
        side,
        count(*) as n,
        avg(y) as mean_y,
        avg(expected) as mean_expected
    from sided
    group by decision_date, side
    having count(*) > 1 -- a variance needs two
),

-- What a comparison adds and subtracts, whose number weighs the night, and whose are its treatments.
signs as (
    select listed.*
    from
        (values
            ('list', 2, 'treat', 1, 'treat', 'treat'), ('list', 2, 'selected', -1, 'treat', 'treat'),
            ('explore', 2, 'explore', 1, 'explore', 'explore'), ('explore', 2, 'holdout', -1, 'explore', 'explore'),
            ('choosing', 4, 'treat', 1, 'treat', 'treat'), ('choosing', 4, 'selected', -1, 'treat', 'treat'),
            ('choosing', 4, 'explore', -1, 'treat', 'treat'), ('choosing', 4, 'holdout', 1, 'treat', 'treat'),
            ('usual', 3, 'engine', 1, 'engine', 'treat'), ('usual', 3, 'usual', -1, 'engine', 'treat'),
            ('usual', 3, 'treat', 0, 'engine', 'treat'), -- not compared: says how many treatments there are
            ('usual', 4, 'treat', 1, 'treat', 'treat'), ('usual', 4, 'selected', -1, 'treat', 'treat'),
            ('usual', 4, 'drawn', -1, 'treat', 'treat'), ('usual', 4, 'holdout', 1, 'treat', 'treat')
        ) as listed (comparison, sides, side, sign, weigher, treatments_of)
),

complete as (
    select
        signs.comparison,
        signs.sides,
        means.decision_date
    from signs
    inner join means using (side)
    group by signs.comparison, signs.sides, means.decision_date
    having count(*) = signs.sides
),

weighted as (
    select
        signs.comparison,
        signs.sign,
        signs.side = signs.treatments_of as counts,
        means.*,
        signs.sign * weighers.n as weight
    from complete
    inner join signs using (comparison, sides)
    inner join means using (decision_date, side)
    inner join means as weighers on complete.decision_date = weighers.decision_date and signs.weigher = weighers.side
),

totals as (
    select
        comparison,
        min(decision_date) as first_date,
        count(*) filter (counts) as nights,
        sum(n) filter (counts)::bigint as treatments,
        sum(weight * mean_y) as added,
        sum(weight * mean_expected) as added_expected
    from weighted
    group by comparison
),

influences as (
    select
        weighted.comparison,
        weighted.decision_date,
        sided.unit,
        {% if cluster %}
            weighted.weight / weighted.n as scale,
        {% else %}
            weighted.weight / sqrt(weighted.n * (weighted.n - 1)) as scale, -- as in a variance of n users
        {% endif %}
        scale * (sided.y - weighted.mean_y) as of_y,
        scale * (sided.expected - weighted.mean_expected) as of_expected
    from sided
    inner join weighted using (decision_date, side)
),

by_night as (
    select
        comparison,
        decision_date,
        unit,
        sum(of_y) as of_y,
        sum(of_expected) as of_expected
    from influences
    group by comparison, decision_date, unit
),

nightly_sums as (
    select
        comparison,
        sum(of_y * of_y) as alone_yy,
        sum(of_y * of_expected) as alone_ye,
        sum(of_expected * of_expected) as alone_ee
    from by_night
    group by comparison
),

by_unit as (
    select
        comparison,
        unit,
        sum(of_y) as of_y,
        sum(of_expected) as of_expected
    from by_night
    group by comparison, unit
),

unit_sums as (
    select
        comparison,
        count(*) as units,
        sum(of_y * of_y) as yy,
        sum(of_y * of_expected) as ye,
        sum(of_expected * of_expected) as ee
    from by_unit
    group by comparison
),

people as (
    select
        weighted.comparison,
        count(distinct sided.user_id) filter (
            weighted.side = 'treat' or (weighted.side = 'explore' and weighted.comparison = 'explore')
        ) as n_treated,
        count(distinct sided.user_id) filter (
            if(
                weighted.comparison = 'usual',
                weighted.side in ('usual', 'drawn'),
                weighted.side in ('selected', 'holdout')
            )
        ) as n_control
    from sided
    inner join weighted using (decision_date, side)
    group by weighted.comparison
)

select
    totals.*,
    unit_sums.* exclude (comparison),
    nightly_sums.* exclude (comparison),
    people.* exclude (comparison)
from totals
inner join unit_sums using (comparison)
inner join nightly_sums using (comparison)
inner join people using (comparison)
order by totals.comparison
