/* What each night asked for, promised and did.  Grain: decision_date, experiment, campaign. */
create table if not exists decisions.nights (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    arm varchar not null,
    learner varchar not null,
    model_version varchar not null,
    feature_snapshot varchar not null,
    budget_kind varchar not null, -- share (of users), users or money
    budget_asked double not null, -- in units of its kind
    budget_used double not null, -- in units of its kind
    users bigint not null, -- of the experiment
    eligible bigint not null, -- neither held out nor suppressed, and worth their cost
    treated bigint not null, -- length of the list
    explored bigint not null, -- treated among the explorers
    holdout bigint not null, -- users who are never treated, so that the list can be measured
    suppressed bigint not null, -- users kept out by suppressions or the contact cap
    spent double not null, -- cost of the treated
    realised_rate double not null, -- treated / users
    threshold float not null,
    expected_rate double not null, -- held-out share of users at or above the threshold
    threshold_rate double not null, -- the same share of all users: what /score would treat
    promised double, -- effect per user treated for their score, by the held-out users; null if none is
    promised_std_error double,
    previous_date date, -- the campaign's list before this one
    entered bigint not null, -- treated now and not then
    exited bigint not null, -- treated then and not now
    override varchar, -- why a gate that failed was overruled
    primary key (decision_date, experiment, campaign)
)
