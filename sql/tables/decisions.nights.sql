/* The nightly report: requested budget, promised uplift and totals of each list.
   Grain: decision_date, experiment, campaign. */
create table if not exists decisions.nights (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    arm varchar not null,
    learner varchar not null,
    model_version varchar not null,
    feature_snapshot varchar not null,
    budget_kind varchar not null, -- share (of users), users or money
    budget_asked double not null, -- requested budget, in units of its kind
    budget_used double not null, -- used budget, in units of its kind
    users bigint not null, -- number of the experiment's users
    eligible bigint not null, -- users neither held out nor suppressed, and worth their cost
    treated bigint not null, -- length of the list
    explored bigint not null, -- treated explorers
    holdout bigint not null, -- users who are never treated, so that the list can be measured
    suppressed bigint not null, -- users excluded by suppressions or the contact cap
    spent double not null, -- total cost of the treated users
    realised_rate double not null, -- treated / users
    threshold float not null,
    expected_rate double not null, -- held-out share of users at or above the threshold
    threshold_rate double not null, -- share of all users at or above the threshold: those that /score would treat
    promised double, -- effect per user treated for their score, from held-out users; null if there is no such user
    promised_std_error double,
    previous_date date, -- date of the campaign's previous list
    entered bigint not null, -- users treated now but not in the previous list
    exited bigint not null, -- users treated in the previous list but not now
    override varchar, -- reason to overrule a failed gate
    reach double, -- share of users treated for their score whom the treatment will reach; null without exposure
    reach_std_error double,
    changed_arm bigint, -- users treated now and in the previous list, with another arm; null if arms are not chosen
    usual bigint, -- treated users about whom the old rule decides; null in lists of earlier versions
    explored_near bigint, -- treated users near the cut about whom chance decides; null in earlier lists
    exploration_loss double, -- expected loss of the default outcome by exploration; null if not evaluated
    exploration_loss_std_error double,
    primary key (decision_date, experiment, campaign)
)
