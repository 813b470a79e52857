/* Every model that was trained.  Grain: model_version, arm, learner. */
create table if not exists models.registry (
    model_version varchar not null,
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    parameters varchar not null, -- JSON
    seed bigint not null,
    data_sha256 varchar not null,
    sql_sha256 varchar not null,
    bundle_sha256 varchar not null, -- of the bundle's manifest, which holds the sha256 of every file
    libraries varchar not null, -- JSON: name -> version
    champion boolean not null, -- the learner that decides
    is_current boolean not null, -- the version that the scores come from
    trained_at timestamp not null,
    primary key (model_version, arm, learner)
)
