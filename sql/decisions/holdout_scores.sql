/* The held-out uplift distribution: users by score, all arms, best score first.
   Grain: score.  Inputs: scores.<experiment>.  Bound: $arm. */
select
    {{ score }} as score,
    count(*) as n
from {{ scores }}
where arm = {{ bind.arm }} and split = 'holdout'
group by score
order by score desc
