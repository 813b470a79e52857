/* What every layer that stands was made from.  Grain: experiment, layer, made_from. */
create table if not exists quality.lineage (
    experiment varchar not null,
    layer varchar not null, -- as in Dagster
    version varchar not null, -- of the layer: the same if it was made of the same in the same way
    made_from varchar not null, -- another layer; or file, sql, edges, model_version: what it was made of besides
    made_from_version varchar not null, -- which it had then; empty: nobody wrote it down
    run_id varchar not null, -- in Dagster
    made_at timestamp not null, -- UTC
    primary key (experiment, layer, made_from)
)
