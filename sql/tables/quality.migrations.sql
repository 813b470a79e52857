/* Versions of the warehouse: the migrations of sql/migrations that it has.  Grain: number. */
create table if not exists quality.migrations (
    number integer primary key, -- the migration's number; the largest is the warehouse's version
    name varchar not null, -- name of the migration's file, without the number
    engine varchar not null, -- version of the engine that applied it
    applied_at timestamp not null -- UTC
)
