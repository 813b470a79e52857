/* Findings of the last checks of each table.  Grain: experiment, table_name, check_name, rule, column. */
create table if not exists quality.results (
    experiment varchar not null,
    table_name varchar not null, -- layer: raw, features, assignment, cells, scores, population, treat_list
    check_name varchar not null, -- the check's name in Dagster
    rule varchar not null, -- rule that was checked
    "column" varchar not null, -- checked column; empty: the table
    severity varchar not null, -- critical: a failure stops the run; warning: a failure is only shown
    passed boolean not null,
    value varchar not null, -- observed: a figure, ± one standard error if it has one, or a value of the column
    message varchar not null, -- the fault and the remedy; empty if the check passed
    checked_at timestamp not null -- UTC
)
