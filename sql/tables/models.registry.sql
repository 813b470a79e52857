/* Every model that was trained.  Grain: model_version, arm, learner.
   Gains are inside the train split, at the experiment's default budget: mean outcome per user over random
   targeting of equal size, and over targeting by the response model. Each fold but the first is judged
   by models of the folds before it. */
create table if not exists models.registry (
    model_version varchar not null,
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    parameters varchar not null, -- JSON
    seed bigint not null, -- of the boosters
    data_sha256 varchar not null,
    sql_sha256 varchar not null,
    bundle_sha256 varchar not null, -- of the bundle's manifest, which holds the sha256 of every file
    libraries varchar not null, -- JSON: name -> version
    champion boolean not null, -- the best on the evidence; it decides unless the declaration names another
    runner_up boolean not null, -- the next best
    gate varchar not null, -- on the learner: passed, inconclusive or contradicted; the arm's is that of its champion
    gate_reason varchar not null, -- the learner's evidence in a sentence
    budget double not null, -- of the comparison
    gain_over_random double not null, -- of the learner's ranking
    gain_over_random_std_error double not null,
    gain_over_response double not null, -- of the learner's ranking over the response model's
    gain_over_response_std_error double not null,
    mean_gain double, -- over random, averaged over budgets up to twice the budget, later folds weighing more
    z_over_random double, -- of mean_gain, lowered where skewness flatters it: the gate's first test
    z_over_response double, -- of what mean_gain exceeds the response model's by: the gate's second test
    critical_over_random double, -- what z_over_random must exceed; the same for all learners
    critical_over_response double, -- what z_over_response must exceed
    procedure_gain double, -- over random, of acting on whichever learner led on the folds before
    procedure_gain_std_error double, -- its standard error
    events bigint, -- judged users with an outcome that is not 0, of the arm with fewer; 30 are needed
    n bigint not null, -- train users
    needed_users bigint, -- that would open the gate with 80 % power if the estimates are right
    detectable_gain double not null, -- over random, with 80 % power, by this many users, at the budget alone
    is_current boolean not null, -- the version that the scores come from
    trained_at timestamp not null, -- UTC
    primary key (model_version, arm, learner)
)
