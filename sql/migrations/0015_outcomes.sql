/* Outcomes that arrive in files, and nights that are measured before their windows have closed. */
create table if not exists decisions.outcomes (
    experiment varchar not null,
    outcome varchar not null,
    user_id bigint not null,
    moment timestamp not null,
    y double not null,
    recorded timestamp not null
);
create table if not exists decisions.outcome_files (
    experiment varchar not null,
    file varchar not null,
    sha256 varchar not null,
    outcomes bigint not null,
    new_outcomes bigint not null,
    corrected bigint not null,
    unknown_users bigint not null,
    read_at timestamp not null,
    primary key (experiment, file, sha256)
);
alter table decisions.realised add column if not exists provisional boolean;
alter table decisions.measured add column if not exists provisional boolean;
