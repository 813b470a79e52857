/* Users whom the register of consent kept out when the experiment's newest list was made: a copy, replaced with each
   list. The register itself, register.sqlite, holds all entries.  Grain: experiment, user_id. */
create table if not exists decisions.registered (
    experiment varchar not null,
    user_id bigint not null,
    reason varchar not null, -- e.g. unsubscribed
    until date, -- last day of the suppression, in UTC; null: no end
    entry bigint not null, -- number of the entry in the register
    for_all boolean not null, -- true if it was entered for all experiments
    made_by varchar not null, -- who entered it
    made_at timestamp not null, -- when it was entered, UTC
    primary key (experiment, user_id)
)
