/* Every trained model.  Grain: model_version, arm, learner.
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
    seed bigint not null, -- seed of the boosters
    data_sha256 varchar not null,
    sql_sha256 varchar not null,
    bundle_sha256 varchar not null, -- sha256 of the bundle's manifest, which holds the sha256 of every file
    libraries varchar not null, -- JSON: name -> version
    champion boolean not null, -- true for the learner that decides unless another is declared: the stack
    runner_up boolean not null, -- true for the second-best learner
    gate varchar not null, -- gate's status of the learner: passed, inconclusive or contradicted
    gate_reason varchar not null, -- the learner's evidence in a sentence
    budget double not null, -- budget of the comparison
    gain_over_random double not null, -- gain of the learner's ranking over random targeting
    gain_over_random_std_error double not null,
    gain_over_response double not null, -- gain of the learner's ranking over the response model's
    gain_over_response_std_error double not null,
    gain_over_nobody double, -- gain of the learner's ranking over treating nobody, before costs
    gain_over_nobody_std_error double,
    mean_gain double, -- gain over random, averaged over budgets up to twice the budget; later folds weigh more
    z_over_random double, -- z of mean_gain, lowered where skewness flatters it: the gate's first test
    z_over_response double, -- z of the difference to the response model's mean_gain: the gate's second test
    critical_over_random double, -- value that z_over_random must exceed; the same for all learners
    critical_over_response double, -- value that z_over_response must exceed
    procedure_gain double, -- gain over random of acting on the learner that led on the folds before
    procedure_gain_std_error double, -- standard error of the column with the name before _std_error
    events bigint, -- judged users whose outcome is not 0, of the arm with fewer, or their clusters; 30 are needed
    n bigint not null, -- train users
    needed_users bigint, -- users that would open the gate with 80 % power if the estimates are right
    detectable_gain double not null, -- gain over random at the budget alone that this many users detect with 80 % power
    is_current boolean not null, -- true for the version that the scores come from
    trained_at timestamp not null, -- UTC
    primary key (model_version, arm, learner)
)
