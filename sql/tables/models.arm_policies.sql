/* Which policy over several arms decides, by budget: nobody, one arm alone for its best users, or the best arm for
   each user. Judged inside train, each fold by models and maps of the folds before it. None for one treatment arm,
   where users are in clusters, or where costs fall on exposure.
   Grain: model_version, budget, policy. */
create table if not exists models.arm_policies (
    model_version varchar not null,
    experiment varchar not null,
    outcome varchar not null,
    budget double not null, -- cost per user over the dearest arm's; if costs are equal, the share of users
    policy varchar not null, -- multi_arm: the best arm for each user; otherwise the only arm that is used
    gain double not null, -- mean outcome per user over nobody, doubly robust; less the cost if a value is declared
    std_error double not null,
    spend double not null, -- cost per user
    arm_shares varchar not null, -- JSON: arm -> share of users
    lead double not null, -- gain of multi_arm minus this policy's, paired
    lead_std_error double not null,
    z double not null, -- z of the lead, later folds weigh more; lowered where skewness flatters it
    critical double not null, -- value that z must exceed
    best_single varchar not null, -- the arm that gains most alone
    decider varchar not null, -- policy that decides at this budget: multi_arm, an arm, or nobody
    word varchar not null, -- passed if multi_arm is shown to beat every arm alone, else inconclusive
    reason varchar not null, -- the evidence in some sentences
    events bigint not null, -- judged users whose outcome is not 0, of the arm with fewest; 30 are needed
    n bigint not null, -- judged users
    primary key (model_version, budget, policy)
)
