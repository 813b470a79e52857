/* The model card of each model version, for people.  Grain: model_version. */
create table if not exists models.cards (
    model_version varchar not null primary key,
    experiment varchar not null,
    card varchar not null, -- Markdown
    written_at timestamp not null -- UTC
)
