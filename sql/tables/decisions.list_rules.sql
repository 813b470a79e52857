/* By which rules each list was drawn and cut; the service answers about a user by those of the newest list.
   Grain: decision_date, experiment, campaign. */
create table if not exists decisions.list_rules (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    cut varchar not null, -- size: the list is of exact size; threshold: it takes whose score reaches the threshold
    budget double not null, -- share of users that the threshold was looked up for
    salt varchar not null, -- of the draws
    holdout double not null, -- share of users who are never treated
    explore double not null, -- share of users whom chance decides about
    contact_cap integer, -- treatments of a user in cap_days days, at most; null: any number
    cap_days integer, -- days that the contact cap looks back, the list's own among them
    primary key (decision_date, experiment, campaign)
)
