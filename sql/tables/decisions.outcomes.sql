/* Outcomes that arrived in files, by the moment at which they happened. Users who are of no list are here, too.
   Grain: experiment, outcome, user_id, moment. */
create table if not exists decisions.outcomes (
    experiment varchar not null,
    outcome varchar not null,
    user_id bigint not null,
    moment timestamp not null, -- when it happened, UTC
    y double not null, -- the outcome, in its unit
    recorded timestamp not null -- when the row was written; -infinity if the files do not say
)
