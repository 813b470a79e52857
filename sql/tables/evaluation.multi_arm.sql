/* Policies over several arms on held-out users: choosing each user's arm within a budget, compared with each arm
   alone. Nobody gets an arm that is predicted not to help. Costs are the arms' declared ones; if none is declared,
   treating a user costs 1.
   Grain: experiment, outcome, learner, budget, policy. */
create table if not exists evaluation.multi_arm (
    experiment varchar not null,
    outcome varchar not null,
    learner varchar not null, -- learner whose effects choose; deciding: for each arm, the learner that decides
    budget double not null, -- cost per user over the dearest arm's; if costs are equal, the share of users
    policy varchar not null, -- multi_arm: the best arm for each user; otherwise the only arm that is used
    spend double not null, -- resulting cost per user; below the budget if no other user gains
    treated double not null, -- share of treated users
    arm_shares varchar not null, -- JSON: arm -> share of users
    gain double not null, -- mean outcome per user over treating nobody, doubly robust
    std_error double not null,
    ci_low double not null, -- 95 %
    ci_high double not null, -- 95 %
    best_single varchar not null, -- the single arm with the largest gain on these users, in hindsight
    difference double not null, -- gain of multi_arm minus this policy's; in multi_arm's row, minus best_single's
    difference_std_error double not null, -- standard error of the paired difference
    difference_ci_low double not null, -- 95 %
    difference_ci_high double not null, -- 95 %
    verdict varchar not null, -- verdict on multi_arm: better, worse (the interval excludes 0) or inconclusive
    n bigint not null,
    primary key (experiment, outcome, learner, budget, policy)
)
