/* Files of outcomes that were read.  Grain: experiment, file, sha256. */
create table if not exists decisions.outcome_files (
    experiment varchar not null,
    file varchar not null, -- name of the file
    sha256 varchar not null,
    outcomes bigint not null, -- outcomes in the file
    new_outcomes bigint not null, -- those of them that no earlier file had
    corrected bigint not null, -- those that replaced an outcome of an earlier file
    unknown_users bigint not null, -- rows of users whom the experiment does not know, which are left out
    read_at timestamp not null, -- when the run read the file (UTC)
    primary key (experiment, file, sha256)
)
