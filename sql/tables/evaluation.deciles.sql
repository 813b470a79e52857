/* Uplift among held-out users of the arm and the control, by tenth of the score.
   Grain: experiment, arm, outcome, learner, decile; 1 is the best. */
create table if not exists evaluation.deciles (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    decile integer not null, -- tenth of the users by score, 1 is the best
    n double not null, -- users; a score tied over two deciles counts by its share in each
    n_treated double not null, -- users of the tenth who are in the arm
    score_low double not null, -- lowest score of the tenth
    score_high double not null, -- highest score of the tenth
    rate_treated double, -- mean outcome of the treated users; NaN if there are none
    rate_control double, -- mean outcome of the control users; NaN if there are none
    uplift double, -- rate_treated minus rate_control
    std_error double, -- standard error of uplift; NaN if all outcomes of an arm are equal, e.g. without events
    primary key (experiment, arm, outcome, learner, decile)
)
