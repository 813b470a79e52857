/* What the last checks of each table found.  Grain: experiment, table_name, check_name, rule, column. */
create table if not exists quality.results (
    experiment varchar not null,
    table_name varchar not null, -- layer: raw, features, assignment, cells, scores, population, treat_list
    check_name varchar not null, -- as in Dagster
    rule varchar not null, -- what was asked
    "column" varchar not null, -- of which column; empty: of the table
    severity varchar not null, -- critical: a failure stops the run; warning: it is to be looked at
    passed boolean not null,
    value varchar not null, -- what was found: a figure, ± one standard error if it has one, or a value of the column
    message varchar not null, -- what is wrong and what to do; empty if nothing is
    checked_at timestamp not null -- UTC
)
