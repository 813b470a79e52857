/* Folders of the lists that a cluster's workers made: Parquet files, which decisions.treat_list reads.
   Grain: decision_date, experiment, campaign. */
create table if not exists decisions.treat_list_parts (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    folder varchar not null, -- folder of part-*.parquet, in the order of the export
    files integer not null, -- number of files
    ordered_files integer not null, -- number of the first files, which hold the users with a rank
    primary key (decision_date, experiment, campaign)
)
