/* What each list that chooses each user's arm gives of every arm, and promises of it.
   Grain: decision_date, experiment, campaign, arm. */
create table if not exists decisions.night_arms (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    arm varchar not null,
    treated bigint not null, -- users who get this arm, explorers included
    explored bigint not null, -- explorers among them
    spent double not null, -- their cost
    max_users bigint, -- quota of users; null: none
    max_money double, -- quota of money; null: none
    changed bigint not null, -- users who get this arm and got another one in the previous list
    promised double, -- effect per user who gets this arm for their effects, from held-out users
    promised_std_error double,
    primary key (decision_date, experiment, campaign, arm)
)
