/* Effect on held-out users by segment: each level of a feature with at most 10 values, each fifth of users by another
   feature, and users whose feature is missing. Each is compared with all other held-out users of the arm and the
   control.
   Grain: experiment, arm, outcome, feature, position. */
create table if not exists evaluation.segments (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    feature varchar not null,
    position integer not null, -- place of the segment among those of the feature, by value, from 1
    segment varchar not null, -- the values in words
    low double, -- smallest value; null: missing
    high double, -- of a level, the level; else where the next segment begins; null: missing, or none follows
    n bigint not null, -- held-out users of the arm and the control in the segment
    effect double not null, -- average effect, doubly robust
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    difference double not null, -- effect minus that of all other users
    difference_std_error double not null,
    p_value double, -- two-sided, of no difference; null if an arm has under 30 users with an outcome here or elsewhere
    q_value double, -- p_value adjusted over all segments of the arm and outcome (Benjamini-Hochberg)
    primary key (experiment, arm, outcome, feature, position)
)
