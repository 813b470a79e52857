/* The warehouse records its version. */
create table if not exists quality.migrations (
    number integer primary key,
    name varchar not null,
    engine varchar not null,
    applied_at timestamp not null
);
