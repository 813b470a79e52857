/* Curves over all held-out users with two kinds of limits: intervals that hold the truth in 95 % of experiments at each
   budget, and a wider band that holds the whole true curve in 95 % of experiments, at all budgets at once.
   Grain: experiment, arm, outcome, learner, curve, budget. Budgets that expect fewer than 50 users of an
   arm among the treated or the others are left out. */
create table if not exists evaluation.bands (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    curve varchar not null, -- qini (outcomes added), toc (effect of the best less all), policy_value, gain_over_random
    budget double not null, -- share of users, best first
    value double not null, -- height of the curve
    std_error double not null,
    ci_low double not null, -- lower end of the 95 % interval, budget by budget
    ci_high double not null, -- upper end of the 95 % interval, budget by budget
    band_low double not null, -- lower end of the band that holds the whole curve
    band_high double not null, -- upper end of the band that holds the whole curve
    critical double not null, -- number of standard errors from value to the ends of the band
    n bigint not null, -- held-out users of the arm and the control
    primary key (experiment, arm, outcome, learner, curve, budget)
)
