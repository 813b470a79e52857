/* Held-out users of one contrast by score: all that the evaluation needs.
   Grain: score, best first.  Inputs: scores.<experiment>, assignment.<experiment>.
   Bound: $arm, $control, $propensity (by design).
   mu0 is the response model and mu1 = mu0 + cate_t, both fitted on train. phi is the doubly robust
   score of the effect, phi0 of the outcome under control. Sums are exact (DECIMAL), so no order of
   rows or threads can change them. */
with users as (
    select
        scores.{{ score }}::double as score,
        (assignment.arm = {{ bind.arm }})::integer as w,
        assignment.{{ outcome }}::double as y,
        scores.response::double as mu0,
        scores.response::double + scores.cate_t::double as mu1
    from {{ scores }} as scores
    inner join {{ assignment }} as assignment using (user_id)
    where scores.arm = {{ bind.arm }}
        and scores.split = 'holdout'
        and assignment.arm in ({{ bind.arm }}, {{ bind.control }})
),

robust as (
    select
        score,
        w,
        y,
        mu0 + (1 - w) * (y - mu0) / (1 - {{ bind.propensity }}) as phi0,
        mu1 - mu0 + w * (y - mu1) / {{ bind.propensity }} - (1 - w) * (y - mu0) / (1 - {{ bind.propensity }}) as phi
    from users
)

select
    score,
    count(*)::double as n,
    sum(w)::double as n_treated,
    sum((w * y)::decimal(38, 10))::double as y_treated,
    sum(((1 - w) * y)::decimal(38, 10))::double as y_control,
    sum((w * y * y)::decimal(38, 10))::double as yy_treated,
    sum(((1 - w) * y * y)::decimal(38, 10))::double as yy_control,
    sum(phi::decimal(38, 12))::double as phi,
    sum((phi * phi)::decimal(38, 12))::double as phi_sq,
    sum(phi0::decimal(38, 12))::double as phi0,
    sum((phi0 * phi0)::decimal(38, 12))::double as phi0_sq,
    sum((phi0 * phi)::decimal(38, 12))::double as phi0_phi
from robust
group by score
order by score desc
