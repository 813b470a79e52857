/* The source file of each experiment's raw table.  Grain: experiment. */
create table if not exists raw.registry (
    experiment varchar primary key,
    source varchar not null, -- the file's name
    sha256 varchar not null,
    row_count bigint not null -- number of users
)
