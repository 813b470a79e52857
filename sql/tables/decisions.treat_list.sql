/* The ledger of decisions: one row per user of each list.  Grain: decision_date, experiment, campaign, user_id. */
create table if not exists decisions.treat_list (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null, -- purpose of the list; each campaign has one arm
    user_id bigint not null,
    arm varchar not null, -- the list's arm, or the user's if arms are chosen; the column treated says who gets it
    decision varchar not null, -- treat, no_treat, holdout, explore, suppressed, usual or explore_near
    reason varchar not null, -- within_budget, above_threshold, holdout, contact_cap and others
    treated boolean not null, -- true if the user is to be treated
    selected boolean not null, -- true if the score chooses the user; selected holdout users measure the list
    usual_selected boolean, -- true if the old rule chooses the user; null if chance does, or if there is none
    score float not null, -- score by the learner that decides; if arms are chosen, effect per cost of the first arm
    rank bigint, -- position in the order of treatment; null for users who cannot be treated
    threshold float not null, -- lowest held-out score that is treated at this budget
    budget double not null, -- share of users
    cost double not null, -- cost of treating this user
    value double, -- value of one unit of this user's outcome; null if none is declared
    propensity double not null, -- probability, before the draws, that this user is treated, with this arm
    learner varchar not null,
    model_version varchar not null,
    feature_snapshot varchar not null -- version of the source file and the feature SQL that were scored
)
