/* Who would get which arm within a budget: the newest proposal of each experiment with several treatments; none
   where held-out users show that one arm alone does better at that budget (quality.results, check worth).
   It is no campaign: the ledger, decisions.treat_list, does not know it.
   Grain: experiment, user_id. */
create table if not exists decisions.multi_arm_list (
    decision_date date not null,
    experiment varchar not null,
    user_id bigint not null,
    arm varchar, -- to treat with; null: none
    decision varchar not null, -- treat, no_treat, holdout or suppressed
    reason varchar not null, -- within_budget, beyond_budget, no_arm_helps; or why the user is left out
    effect double not null, -- predicted, of that arm; 0 without one
    cost double not null, -- of that arm; 0 without one
    budget double not null, -- cost of the whole list at most
    spent double not null, -- cost of the whole list
    model_version varchar not null
)
