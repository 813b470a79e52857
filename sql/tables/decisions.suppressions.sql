/* Users who must not be treated, by whoever knows why.  Grain: experiment, user_id.
   Rows are inserted by users of this system; a run never writes here. */
create table if not exists decisions.suppressions (
    experiment varchar not null,
    user_id bigint not null,
    reason varchar not null, -- e.g. unsubscribed
    until date, -- the last day of it; null: for good
    primary key (experiment, user_id)
)
