/* The sources of every current layer.  Grain: experiment, layer, made_from. */
create table if not exists quality.lineage (
    experiment varchar not null,
    layer varchar not null, -- the layer's name in Dagster
    version varchar not null, -- version of the layer: a hash of the versions of its sources
    made_from varchar not null, -- a source: another layer, or file, sql, edges, model_version
    made_from_version varchar not null, -- version of the source at that time; empty: not recorded
    run_id varchar not null, -- run in Dagster
    made_at timestamp not null, -- UTC
    primary key (experiment, layer, made_from)
)
