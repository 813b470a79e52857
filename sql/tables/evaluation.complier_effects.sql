/* The average effect of being reached on those whom the assignment reaches, where the experiment declares an exposure:
   the effect of the assignment over how much it raises the share of users who are reached.
   Grain: experiment, arm, outcome, split, estimator. */
create table if not exists evaluation.complier_effects (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    split varchar not null, -- all: every user of the arm and the control; train and holdout: those of the split
    estimator varchar not null, -- means: differences in means; aipw: doubly robust scores
    reached_treated double not null, -- share of the arm's users whom the treatment reached
    reached_treated_std_error double not null,
    reached_control double not null, -- share of the control's users whom it reached
    itt double not null, -- effect of the assignment on the outcome
    itt_std_error double not null,
    first_stage double not null, -- effect of the assignment on being reached: the share of compliers
    first_stage_std_error double not null,
    first_stage_f double, -- (first_stage over its standard error)²; null if that is 0
    verdict varchar not null, -- estimated; weak: first_stage_f is below 10, so no effect is told
    effect double, -- itt over first_stage, the average effect on compliers; null if weak
    std_error double,
    ci_low double,
    ci_high double,
    n bigint not null, -- users of the arm and the control
    clusters bigint,
    primary key (experiment, arm, outcome, split, estimator)
)
