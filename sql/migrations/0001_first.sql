/* The shared tables of version 1, the first one with a number. A warehouse without a number gets those that
   it lacks. */
create schema if not exists raw;
create schema if not exists features;
create schema if not exists assignment;
create schema if not exists training;
create schema if not exists scores;
create schema if not exists evaluation;
create schema if not exists models;
create schema if not exists decisions;
create schema if not exists quality;
create table if not exists decisions.gates (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    gate varchar not null,
    passed boolean not null,
    value double,
    "limit" double not null,
    message varchar not null,
    primary key (decision_date, experiment, campaign, gate)
);
create table if not exists decisions.list_rules (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    cut varchar not null,
    budget double not null,
    salt varchar not null,
    holdout double not null,
    explore double not null,
    contact_cap integer,
    cap_days integer,
    primary key (decision_date, experiment, campaign)
);
create table if not exists decisions.multi_arm_list (
    decision_date date not null,
    experiment varchar not null,
    user_id bigint not null,
    arm varchar,
    decision varchar not null,
    reason varchar not null,
    effect double not null,
    cost double not null,
    budget double not null,
    spent double not null,
    model_version varchar not null
);
create table if not exists decisions.nights (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    arm varchar not null,
    learner varchar not null,
    model_version varchar not null,
    feature_snapshot varchar not null,
    budget_kind varchar not null,
    budget_asked double not null,
    budget_used double not null,
    users bigint not null,
    eligible bigint not null,
    treated bigint not null,
    explored bigint not null,
    holdout bigint not null,
    suppressed bigint not null,
    spent double not null,
    realised_rate double not null,
    threshold float not null,
    expected_rate double not null,
    threshold_rate double not null,
    promised double,
    promised_std_error double,
    previous_date date,
    entered bigint not null,
    exited bigint not null,
    override varchar,
    primary key (decision_date, experiment, campaign)
);
create table if not exists decisions.realised (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    outcome varchar not null,
    comparison varchar not null,
    n_treated bigint not null,
    n_control bigint not null,
    mean_treated double not null,
    mean_control double not null,
    uplift double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    promised double,
    promised_std_error double,
    agrees boolean,
    primary key (decision_date, experiment, campaign, outcome, comparison)
);
create table if not exists decisions.suppressions (
    experiment varchar not null,
    user_id bigint not null,
    reason varchar not null,
    until date,
    primary key (experiment, user_id)
);
create table if not exists decisions.thresholds (
    model_version varchar not null,
    experiment varchar not null,
    arm varchar not null,
    learner varchar not null,
    budget double not null,
    threshold float not null,
    treated_share double not null,
    n bigint not null,
    primary key (model_version, arm, learner, budget)
);
create table if not exists {{ treat_list }} (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    user_id bigint not null,
    arm varchar not null,
    decision varchar not null,
    reason varchar not null,
    treated boolean not null,
    selected boolean not null,
    score float not null,
    rank bigint,
    threshold float not null,
    budget double not null,
    cost double not null,
    value double,
    propensity double not null,
    learner varchar not null,
    model_version varchar not null,
    feature_snapshot varchar not null
);
create table if not exists decisions.treat_list_parts (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    folder varchar not null,
    files integer not null,
    ordered_files integer not null,
    primary key (decision_date, experiment, campaign)
);
create table if not exists evaluation.calibration (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    quantile integer not null,
    n double not null,
    predicted double not null,
    effect double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    primary key (experiment, arm, outcome, learner, quantile)
);
create table if not exists evaluation.comparisons (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    other varchar not null,
    metric varchar not null,
    difference double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    z double not null,
    verdict varchar not null,
    n bigint not null,
    primary key (experiment, arm, outcome, learner, other, metric)
);
create table if not exists evaluation.coverage (
    experiment varchar not null,
    design varchar not null,
    claim varchar not null,
    truth double,
    mean double,
    share double not null,
    nominal double not null,
    monte_carlo_error double not null,
    replications bigint not null,
    holds boolean not null,
    primary key (experiment, design, claim)
);
create table if not exists evaluation.crosscheck (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    tier integer not null,
    metric varchar not null,
    value double not null,
    n bigint not null,
    primary key (experiment, arm, outcome, learner, tier, metric)
);
create table if not exists evaluation.deciles (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    decile integer not null,
    n double not null,
    n_treated double not null,
    score_low double not null,
    score_high double not null,
    rate_treated double,
    rate_control double,
    uplift double,
    std_error double,
    primary key (experiment, arm, outcome, learner, decile)
);
create table if not exists evaluation.metrics (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    metric varchar not null,
    split varchar not null,
    value double not null,
    std_error double,
    ci_low double,
    ci_high double,
    n bigint not null,
    primary key (experiment, arm, outcome, learner, metric, split)
);
create table if not exists evaluation.multi_arm (
    experiment varchar not null,
    outcome varchar not null,
    learner varchar not null,
    budget double not null,
    policy varchar not null,
    spend double not null,
    treated double not null,
    arm_shares varchar not null,
    gain double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    best_single varchar not null,
    difference double not null,
    difference_std_error double not null,
    difference_ci_low double not null,
    difference_ci_high double not null,
    verdict varchar not null,
    n bigint not null,
    primary key (experiment, outcome, learner, budget, policy)
);
create table if not exists evaluation.plots (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    plot varchar not null,
    title varchar not null,
    specification varchar not null,
    primary key (experiment, arm, outcome, plot)
);
create table if not exists evaluation.policy_value (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    estimator varchar not null,
    budget double not null,
    value double not null,
    std_error double not null,
    ci_low double not null,
    ci_high double not null,
    random_value double not null,
    gain_over_random double not null,
    gain_std_error double not null,
    incremental double,
    incremental_std_error double,
    net_value double,
    net_std_error double,
    n bigint not null,
    primary key (experiment, arm, outcome, learner, estimator, budget)
);
create table if not exists evaluation.qini_curve (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    targeted double not null,
    incremental double not null,
    std_error double not null
);
create table if not exists features.registry (
    experiment varchar not null,
    position integer not null,
    name varchar not null,
    type varchar not null,
    description varchar not null,
    sql_file varchar not null,
    sql_sha256 varchar not null,
    primary key (experiment, name)
);
create table if not exists models.cards (
    model_version varchar not null primary key,
    experiment varchar not null,
    card varchar not null,
    written_at timestamp not null
);
create table if not exists models.registry (
    model_version varchar not null,
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    learner varchar not null,
    parameters varchar not null,
    seed bigint not null,
    data_sha256 varchar not null,
    sql_sha256 varchar not null,
    bundle_sha256 varchar not null,
    libraries varchar not null,
    champion boolean not null,
    runner_up boolean not null,
    gate varchar not null,
    gate_reason varchar not null,
    budget double not null,
    gain_over_random double not null,
    gain_over_random_std_error double not null,
    gain_over_response double not null,
    gain_over_response_std_error double not null,
    mean_gain double,
    z_over_random double,
    z_over_response double,
    critical_over_random double,
    critical_over_response double,
    procedure_gain double,
    procedure_gain_std_error double,
    events bigint,
    n bigint not null,
    needed_users bigint,
    detectable_gain double not null,
    is_current boolean not null,
    trained_at timestamp not null,
    primary key (model_version, arm, learner)
);
create table if not exists models.tuning (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    kind varchar not null,
    parameters varchar not null,
    loss double not null,
    std_error double not null,
    dr_loss double,
    chosen boolean not null,
    primary key (experiment, arm, outcome, kind, parameters)
);
create table if not exists quality.lineage (
    experiment varchar not null,
    layer varchar not null,
    version varchar not null,
    made_from varchar not null,
    made_from_version varchar not null,
    run_id varchar not null,
    made_at timestamp not null,
    primary key (experiment, layer, made_from)
);
create table if not exists quality.profiles (
    experiment varchar not null,
    feature varchar not null,
    bound double not null,
    n bigint not null,
    primary key (experiment, feature, bound)
);
create table if not exists quality.results (
    experiment varchar not null,
    table_name varchar not null,
    check_name varchar not null,
    rule varchar not null,
    "column" varchar not null,
    severity varchar not null,
    passed boolean not null,
    value varchar not null,
    message varchar not null,
    checked_at timestamp not null
);
create table if not exists raw.registry (
    experiment varchar primary key,
    source varchar not null,
    sha256 varchar not null,
    row_count bigint not null
);
create table if not exists training.edges (
    experiment varchar not null,
    position integer not null,
    feature varchar not null,
    edge float not null,
    primary key (experiment, position, edge)
);
