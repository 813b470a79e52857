/* The leaves of the readable rules: who is in them, and the effect among their held-out users.
   Grain: experiment, arm, depth, leaf. */
create table if not exists evaluation.rule_leaves (
    experiment varchar not null,
    arm varchar not null,
    depth integer not null, -- largest number of questions about a user
    leaf integer not null, -- number of the leaf, from 1
    segment varchar not null, -- who is in the leaf, in words
    treated double not null, -- share of the leaf's users that the rule treats
    n bigint not null, -- held-out users of the arm and the control in the leaf
    effect double, -- average effect, doubly robust; null: nobody is in the leaf
    std_error double,
    primary key (experiment, arm, depth, leaf)
)
