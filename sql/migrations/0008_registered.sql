/* Users whom the register of consent keeps out. */
create table if not exists decisions.registered (
    experiment varchar not null,
    user_id bigint not null,
    reason varchar not null,
    until date,
    entry bigint not null,
    for_all boolean not null,
    made_by varchar not null,
    made_at timestamp not null,
    primary key (experiment, user_id)
);
