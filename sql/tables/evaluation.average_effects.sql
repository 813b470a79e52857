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
    largest_share double not null, -- share of one user in an arm's variance, or of a cluster in that of the effect
    unreliable boolean not null, -- intervals are too narrow: largest_share is above 0.1 (clusters: 0.2, or below 40)
    n bigint not null, -- users of the arm and the control
    clusters bigint,
    cap_low double, -- where unreliable: outcomes below it count as it, those above cap_high as cap_high
    cap_high double, -- outcomes above it count as it
    capped_effect double, -- effect on the capped outcome, which a few users cannot decide
    capped_std_error double, -- standard error of capped_effect
    primary key (experiment, arm, outcome, split)
)
