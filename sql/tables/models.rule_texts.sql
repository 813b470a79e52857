/* Rules to carry away, of the current model version: the readable rules of models.rules, and the score of the learner
   that decides, each written for other systems. They read the features of features.<experiment>.
   Grain: experiment, arm, rule, form. */
create table if not exists models.rule_texts (
    experiment varchar not null,
    arm varchar not null,
    rule varchar not null, -- depth_1, depth_2: chance of the treatment, 0 to 1; score: effect of the treatment
    form varchar not null, -- duckdb, postgres, bigquery, snowflake (an expression); json; python (a module)
    model_version varchar not null,
    learner varchar, -- the learner whose score it is; null of a readable rule
    error double, -- largest difference of the score from the engine's, among drawn users; null of a readable rule
    text varchar not null, -- the expression, the JSON or the module
    primary key (experiment, arm, rule, form)
)
