/* Realised uplift of a campaign over all its measured nights until a date. A user counts once in errors, however often
   they were listed.
   Grain: decision_date, experiment, campaign, outcome, comparison. */
create table if not exists decisions.realised_over_time (
    decision_date date not null, -- the last of the nights
    experiment varchar not null,
    campaign varchar not null,
    outcome varchar not null,
    comparison varchar not null, -- list, explore: as in decisions.realised; choosing: list less explore; usual: docs
    first_date date not null, -- the first of the nights
    nights bigint not null, -- measured nights on which both sides have two users or more
    treatments bigint not null, -- treatments on these nights; a user has one a night
    n_treated bigint not null, -- users treated at least once
    n_control bigint not null, -- users of the other side who are compared at least once: held out, or treated as usual
    uplift double not null, -- uplift per treatment, adjusted by the expected outcomes
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    sequence_low double not null, -- lower end of the 95 % confidence sequence, which holds on all nights at once
    sequence_high double not null, -- upper end of the 95 % confidence sequence
    unadjusted double not null, -- uplift per treatment, without adjustment
    unadjusted_std_error double not null,
    coefficient double not null, -- what the expected outcomes are multiplied with in the adjustment
    variance double not null, -- variance of the added outcomes, which the confidence sequence rests on
    promised double, -- uplift per treatment promised from held-out users before these lists; null for other outcomes
    promised_std_error double, -- at most this: all promises rest on the same held-out users
    agrees boolean, -- true if promise and measurement differ by no more than chance allows on all nights at once
    clusters bigint,
    primary key (decision_date, experiment, campaign, outcome, comparison)
)
