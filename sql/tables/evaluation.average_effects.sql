/* Average effect as the difference in mean outcome between the arm and the control; it needs no model and no holdout.
   Grain: experiment, arm, outcome, split. */
create table if not exists evaluation.average_effects (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    split varchar not null, -- all: every user of the arm and the control; train and holdout: those of the split
    mean_treated double not null, -- mean outcome under the arm
    mean_control double not null, -- mean outcome under control
    effect double not null, -- mean_treated minus mean_control
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    largest_share double not null, -- share of a single user in the variance of an arm's outcome; the larger of both
    unreliable boolean not null, -- true if largest_share is above 0.1: intervals of this outcome are then too narrow
    n bigint not null, -- users of the arm and the control
    primary key (experiment, arm, outcome, split)
)
