/* Rules written for other systems. */
create table if not exists models.rule_texts (
    experiment varchar not null,
    arm varchar not null,
    rule varchar not null,
    form varchar not null,
    model_version varchar not null,
    learner varchar,
    error double,
    text varchar not null,
    primary key (experiment, arm, rule, form)
);
