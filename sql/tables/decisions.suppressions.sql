/* Users who must not be treated.  Grain: experiment, user_id.
   People or other systems insert the rows; a run never writes here. */
create table if not exists decisions.suppressions (
    experiment varchar not null,
    user_id bigint not null,
    reason varchar not null, -- e.g. unsubscribed
    until date, -- last day of the suppression; null: no end
    primary key (experiment, user_id)
)
