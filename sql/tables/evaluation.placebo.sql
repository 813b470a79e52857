/* What the procedure finds if the arms mean nothing: learners fitted, compared and chosen on the train users with their
   arms permuted, at a third of the rounds. Only runs with the run configuration placebo_runs of the evaluation fill it.
   Grain: experiment, arm, outcome, run. */
create table if not exists evaluation.placebo (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    run integer not null, -- 0: the arms as they were drawn; others: a permutation of them
    learner varchar not null, -- the champion of the run
    z_over_random double not null, -- z of the champion's gain over random targeting, out of fold
    z_over_response double not null, -- z of its gain over the response model's
    opens boolean not null, -- whether the gate opens
    p_value double not null, -- share of all runs, this one included, whose z_over_random is at least this one's
    n bigint not null, -- train users of the arm and the control
    primary key (experiment, arm, outcome, run)
)
