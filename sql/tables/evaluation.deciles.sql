/* Uplift among held-out users of the arm and the control, by tenth of the score.
   Grain: experiment, arm, outcome, learner, decile; 1 is the best. */
create table if not exists evaluation.deciles (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    decile integer not null,
    n double not null, -- users; a score tied over two deciles counts by its share in each
    n_treated double not null,
    score_low double not null,
    score_high double not null,
    rate_treated double,
    rate_control double,
    uplift double,
    std_error double,
    primary key (experiment, arm, outcome, learner, decile)
)
