/* Every trained model.  Grain: model_version, arm, learner.
   Gains are out of fold, inside the train split, at the experiment's default budget: mean outcome per
   user over random targeting of equal size, and over targeting by the response model. */
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
    champion boolean not null, -- true for the best learner on the evidence; it decides unless another is declared
    runner_up boolean not null, -- true for the second-best learner
    gate varchar not null, -- gate's status of the learner: passed or inconclusive; the arm has its champion's status
    gate_reason varchar not null, -- the learner's evidence in a sentence
    budget double not null, -- budget of the comparison
    gain_over_random double not null, -- gain of the learner's ranking over random targeting
    gain_over_random_std_error double not null,
    gain_over_response double not null, -- gain of the learner's ranking over the response model's
    gain_over_response_std_error double not null,
    n bigint not null, -- train users behind the gains
    needed_users bigint, -- users that would open the gate with 80 % power if the estimates are right
    detectable_gain double not null, -- gain over random that this many users detect with 80 % power
    is_current boolean not null, -- true for the version that the scores come from
    trained_at timestamp not null, -- UTC
    primary key (model_version, arm, learner)
)
