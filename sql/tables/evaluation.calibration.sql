/* Average effect among held-out users by fifth of the score, with the mean prediction (GATES).
   The slope of effect on prediction is in evaluation.metrics, calibration_slope.
   Grain: experiment, arm, outcome, learner, quantile; 1 is the best. */
create table if not exists evaluation.calibration (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    quantile integer not null, -- fifth of the users by score, 1 is the best
    n double not null, -- users; a score tied over two fifths counts by its share in each
    predicted double not null, -- mean score; for the response model an outcome, not an effect
    effect double not null, -- average effect, doubly robust
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    primary key (experiment, arm, outcome, learner, quantile)
)
