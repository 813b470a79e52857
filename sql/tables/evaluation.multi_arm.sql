/* Policies over several arms on held-out users: who gets which arm within a budget, beside each arm alone.
   Nobody gets an arm that is predicted not to help. Costs are the arms' declared ones; where none is
   declared, treating a user costs 1.
   Grain: experiment, outcome, learner, budget, policy. */
create table if not exists evaluation.multi_arm (
    experiment varchar not null,
    outcome varchar not null,
    learner varchar not null, -- whose effects choose; deciding: of each arm, the learner that decides
    budget double not null, -- cost per user over the dearest arm's; where costs are equal, the share of users
    policy varchar not null, -- multi_arm: the best arm for each user; else the one arm that is used
    spend double not null, -- cost per user that came of it; less than the budget where nobody else gains
    treated double not null, -- share of users
    arm_shares varchar not null, -- JSON: arm -> share of users
    gain double not null, -- mean outcome per user over treating nobody, doubly robust
    std_error double not null,
    ci_low double not null, -- 95 %
    ci_high double not null, -- 95 %
    best_single varchar not null, -- the arm that alone gains most on these users, in hindsight
    difference double not null, -- gain of multi_arm less this policy's; in its own row, less best_single's
    difference_std_error double not null, -- paired
    difference_ci_low double not null, -- 95 %
    difference_ci_high double not null, -- 95 %
    verdict varchar not null, -- on multi_arm: better, worse (the interval does not hold 0) or inconclusive
    n bigint not null,
    primary key (experiment, outcome, learner, budget, policy)
)
