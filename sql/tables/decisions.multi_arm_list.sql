/* The proposed arm of each user within a budget: the newest proposal of each experiment with several treatments;
   none if held-out users show that one arm alone does better at that budget (quality.results, check worth).
   A proposal is no campaign: it is not in the ledger, decisions.treat_list.
   Grain: experiment, user_id. */
create table if not exists decisions.multi_arm_list (
    decision_date date not null,
    experiment varchar not null,
    user_id bigint not null,
    arm varchar, -- arm to treat with; null: no treatment
    decision varchar not null, -- treat, no_treat, holdout or suppressed
    reason varchar not null, -- within_budget, beyond_budget, no_arm_helps; or why the user is left out
    effect double not null, -- predicted effect of that arm; 0 without an arm
    cost double not null, -- cost of that arm; 0 without an arm
    budget double not null, -- largest cost of the whole list
    spent double not null, -- cost of the whole list
    model_version varchar not null
)
