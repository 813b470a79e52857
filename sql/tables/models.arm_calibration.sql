/* The maps that make the scores of an experiment's arms comparable: effect = level + slope * score, learned out of
   fold inside train. None for one treatment arm, where users are in clusters, or where costs
   fall on exposure.
   Grain: model_version, arm.
   A slope is that of the regression of doubly robust effects on the score: 1 is calibrated. An excess is the mean
   doubly robust effect less the mean score: 0 is calibrated. */
create table if not exists models.arm_calibration (
    model_version varchar not null,
    experiment varchar not null,
    arm varchar not null,
    learner varchar not null, -- learner that decides about the arm, whose scores the map takes
    level double not null, -- level of the map
    slope double not null, -- slope of the map: 1 where the scores are not shown to be off
    slope_before double, -- slope of the scores; null if all are equal
    slope_before_std_error double,
    excess_before double, -- excess of the scores
    excess_before_std_error double,
    slope_after double, -- slope of calibrated effects, each fold mapped by the folds before it
    slope_after_std_error double,
    excess_after double, -- excess of calibrated effects, likewise
    excess_after_std_error double,
    primary key (model_version, arm)
)
