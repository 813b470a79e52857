/* Plots of the learner that decides, as Vega-Lite specifications with their data.
   Grain: experiment, arm, outcome, plot. */
create table if not exists evaluation.plots (
    experiment varchar not null,
    arm varchar not null,
    outcome varchar not null,
    plot varchar not null, -- qini, deciles, policy_value, calibration, distribution
    title varchar not null, -- finding of the plot, in a sentence
    specification varchar not null, -- JSON
    primary key (experiment, arm, outcome, plot)
)
