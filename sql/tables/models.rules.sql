/* Rules that a person can read, of the current model version: the best tree of so many questions for the budget.
   They are learned from train users, by doubly robust scores out of fold.
   Grain: experiment, arm, depth. */
create table if not exists models.rules (
    experiment varchar not null,
    arm varchar not null,
    depth integer not null, -- largest number of questions about a user
    model_version varchar not null,
    budget double not null, -- share of users that the rule treats
    words varchar not null, -- the rule in a sentence
    sql varchar not null, -- the rule as an expression of the features: the chance of the treatment, 0 to 1
    conditions varchar not null, -- the rule as JSON: its leaves, with their conditions and the chance of the treatment
    tree varchar not null, -- the rule as the engine reads it, JSON
    shortfall double not null, -- largest gain per user by which another rule of this depth can be better in train
    primary key (experiment, arm, depth)
)
