/* Where the nights' lists are that a cluster's workers made: Parquet, which decisions.treat_list reads.
   Grain: decision_date, experiment, campaign. */
create table if not exists decisions.treat_list_parts (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    folder varchar not null, -- of part-*.parquet, in the order in which the list is exported
    files integer not null, -- how many there are
    ordered_files integer not null, -- of them, the first that hold who has a rank
    primary key (decision_date, experiment, campaign)
)
