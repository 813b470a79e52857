/* The held-out uplift distribution, whose quantiles are the thresholds: users by score, all arms, best score first.
   Grain: score.  Inputs: scores.<experiment>. */
create or replace macro decisions.holdout_scores(of_experiment, of_arm, of_learner) as table (
    select
        score,
        count(*) as n
    from (
        select columns('^cate_' || of_learner || '$') as score
        from query_table('scores.' || of_experiment)
        where arm = of_arm and split = 'holdout'
    ) as held_out
    group by score
    order by score desc
);
