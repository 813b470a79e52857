/* Paired differences of any two rankings on the same held-out users; 'random' is random targeting.
   Verdicts are per comparison: where nothing differs, each is wrong in 5 % of experiments, so some of many are.
   Grain: experiment, arm, outcome, learner, other, metric. */
create table if not exists evaluation.comparisons (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null, -- one ranking
    other varchar not null, -- the other ranking, or random
    metric varchar not null, -- gain_at_<budget in percent>, autoc, qini
    difference double not null, -- learner minus other
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    z double not null, -- difference / std_error
    verdict varchar not null, -- better, worse (the interval excludes 0) or inconclusive; 5 % error per comparison
    n bigint not null, -- held-out users of the arm and the control
    primary key (experiment, arm, outcome, learner, other, metric)
)
