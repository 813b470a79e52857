/* Rules that drew and cut each list; the service decides about a user by the rules of the newest list.
   Grain: decision_date, experiment, campaign. */
create table if not exists decisions.list_rules (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    cut varchar not null, -- size: the list has an exact size; threshold: it treats scores that reach the threshold
    budget double not null, -- share of users for which the threshold was looked up
    salt varchar not null, -- salt of the draws
    holdout double not null, -- share of users who are never treated
    explore double not null, -- share of users about whom chance decides
    contact_cap integer, -- largest number of treatments of a user in cap_days days; null: no cap
    unit varchar, -- who is treated as a whole: user or cluster; null: user
    cluster varchar, -- raw column whose values the draws hash; null: they hash the user id
    cap_days integer, -- days that the contact cap looks back, including the list's date
    usual_share double, -- share of users about whom the old rule decides; null in lists of earlier versions
    usual_rule varchar, -- the old rule: random, response or a raw column; null: none
    explore_near double, -- share of users near the cut about whom chance decides; null in earlier lists
    explore_band double, -- how near, as a share of held-out users; null if chance decides about none
    primary key (decision_date, experiment, campaign)
)
