/* Parameters that were tried and their cross-validated loss on the train split.
   Grain: experiment, arm, outcome, kind, parameters. */
create table if not exists models.tuning (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    kind varchar not null, -- outcome, effect, s (the S-learner's): the models that the parameters are for
    parameters varchar not null, -- JSON
    loss double not null, -- per user; log loss or squared error for outcomes, R-loss for effects and s
    std_error double not null, -- of the difference to the best, over folds
    dr_loss double, -- of effects, beside the R-loss
    chosen boolean not null, -- whether it is the best of its kind and arm
    primary key (experiment, arm, outcome, kind, parameters)
)
