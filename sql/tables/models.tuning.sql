/* Candidate parameters with their cross-validated loss on the train split.
   Grain: experiment, arm, outcome, kind, parameters. */
create table if not exists models.tuning (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    kind varchar not null, -- kind of models that the parameters are for: outcome, effect or s (the S-learner)
    parameters varchar not null, -- JSON
    loss double not null, -- loss per user: log loss or squared error for outcomes, R-loss for effects and s
    std_error double not null, -- standard error of the difference to the best, over folds
    dr_loss double, -- DR-loss of effects, in addition to the R-loss
    chosen boolean not null, -- true for the best of its kind and arm
    primary key (experiment, arm, outcome, kind, parameters)
)
