/* Every feature with its description and its SQL.  Grain: experiment, name. */
create table if not exists features.registry (
    experiment varchar not null,
    position integer not null, -- order of the features in the models, from 1
    name varchar not null, -- name of the feature
    type varchar not null, -- type in DuckDB
    description varchar not null, -- comment of the feature in its SQL
    sql_file varchar not null, -- SQL file that makes it
    sql_sha256 varchar not null,
    primary key (experiment, name)
)
