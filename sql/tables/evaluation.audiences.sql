/* Held-out users in four audiences: by what they are predicted to do without the treatment, and by the effect that a
   learner predicts. The effect is measured.
   Grain: experiment, arm, learner, baseline, predicted_effect. */
create table if not exists evaluation.audiences (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null, -- the default one, which the learners were fitted on
    learner varchar not null,
    baseline varchar not null, -- predicted outcome without treatment: high above the users' median, else low
    predicted_effect varchar not null, -- high above the users' median, else low
    n bigint not null, -- held-out users of the arm and the control
    share double not null, -- share of these users
    response double not null, -- mean predicted outcome without treatment
    effect double not null, -- average effect, doubly robust
    std_error double not null,
    listed double not null, -- share that the learner's list would treat, at the default budget
    listed_by_response double not null, -- share that the response model's list would treat
    listed_by_both double not null, -- share that both would treat
    primary key (experiment, arm, learner, baseline, predicted_effect)
)
