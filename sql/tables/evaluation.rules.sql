/* What the readable rules of models.rules gain on held-out users, beside the scores that decide.
   Grain: experiment, arm, depth. */
create table if not exists evaluation.rules (
    experiment varchar not null,
    arm varchar not null,
    depth integer not null, -- largest number of questions about a user
    learner varchar not null, -- the learner that decides, with which the rule is compared
    budget double not null, -- share of users that are treated
    n bigint not null, -- held-out users of the arm and the control
    gain_over_random double not null, -- gain of the rule over random targeting, mean outcome per user
    gain_std_error double not null,
    learner_gain double not null, -- gain of the learner's scores over random targeting
    learner_gain_std_error double not null,
    difference double not null, -- gain of the rule minus that of the learner's scores
    difference_std_error double not null,
    verdict varchar not null, -- of the difference: better, worse or inconclusive
    share double, -- gain of the rule divided by that of the scores; null unless that is shown to be above 0
    share_std_error double,
    primary key (experiment, arm, depth)
)
