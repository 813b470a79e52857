/* Realised uplift of lists, compared with the promised one.
   Grain: decision_date, experiment, campaign, outcome, comparison. */
create table if not exists decisions.realised (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    outcome varchar not null,
    comparison varchar not null, -- list: treated for their score; explore: treated whatever their score
    n_treated bigint not null, -- treated users with outcomes
    n_control bigint not null, -- holdout users; for the list, only those whom it would have treated
    mean_treated double not null, -- mean outcome of the treated users
    mean_control double not null, -- mean outcome of the control users
    uplift double not null, -- uplift per treated user
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    promised double, -- uplift promised from held-out users before the list; null for other outcomes
    promised_std_error double,
    agrees boolean, -- true if promise and measurement differ by no more than chance allows in 95 % of cases
    clusters bigint,
    provisional boolean, -- true before the outcome's window has closed; null if a file was given by hand
    primary key (decision_date, experiment, campaign, outcome, comparison)
)
