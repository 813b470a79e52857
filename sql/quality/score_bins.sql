/* Number of users by bin of one score, in each split; bins end at twentieths of the train users' scores, estimated
   from a sample of one user in $step.
   Grain: split, bin.  Inputs: scores.<experiment>.  Bound: $arm, $step. */
with bounds as (
    select
        quantile_disc(
            {{ score }},
            [
                0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
                0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95
            ]
        ) as ends
    from {{ scores }}
    where arm = {{ bind.arm }} and split = 'train' and user_id % {{ bind.step }} = 0
)

select
    scores.split,
    len(list_filter(bounds.ends, lambda bound: bound < scores.{{ score }})) as bin, -- noqa: RF02
    count(*) as n
from {{ scores }} as scores
cross join bounds
where scores.arm = {{ bind.arm }}
group by all
order by all
