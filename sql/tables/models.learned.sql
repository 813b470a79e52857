/* What models learned from lists: each time, how many rows they had, how far the effects had drifted, and whether the
   new models took the place of the old ones.
   Grain: experiment, learned_at. */
create table if not exists models.learned (
    experiment varchar not null,
    learned_at timestamp not null, -- UTC
    campaign varchar not null,
    arm varchar not null,
    nights bigint not null, -- nights with closed windows that were learned from
    listed bigint not null, -- rows of these lists: one a user and night
    learned bigint not null, -- rows that were learned from
    never bigint not null, -- left out: users with no chance of the treatment, such as suppressed ones
    always bigint not null, -- left out: users with no chance of no treatment
    little_overlap bigint not null, -- left out: users with a smaller chance of one of both than learning.overlap
    lost_features bigint not null, -- left out: rows the features of which were not kept as they were that night
    from_experiment bigint not null, -- rows of the original experiment beside them
    old_version varchar not null, -- models until then
    old_learner varchar not null, -- the learner that decided until then
    slope double, -- calibration slope of the old models on these lists: 1 if effects are as predicted
    slope_std_error double,
    new_version varchar, -- models that took their place; null if the old ones stay
    new_learner varchar not null, -- champion of the new models
    gate varchar not null, -- its word: passed, inconclusive or contradicted
    gain double not null, -- gain of the new champion over random at the default budget, on held-out users of both
    gain_std_error double not null,
    old_gain double not null, -- the same of the old models
    old_gain_std_error double not null,
    difference double not null, -- paired: new less old
    difference_std_error double not null,
    replaced boolean not null, -- true if the new models took their place
    reason varchar not null, -- why, in words
    primary key (experiment, learned_at)
)
