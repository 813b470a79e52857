/* What each feature is and which SQL makes it.  Grain: experiment, name. */
create table if not exists features.registry (
    experiment varchar not null,
    position integer not null, -- order of the features in the models, from 1
    name varchar not null, -- of the feature
    type varchar not null, -- in DuckDB
    description varchar not null, -- the comment beside it in its SQL
    sql_file varchar not null, -- that makes it
    sql_sha256 varchar not null,
    primary key (experiment, name)
)
