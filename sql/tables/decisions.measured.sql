/* Outcomes of measured lists, of the users who are compared: the treated, the holdout group of the list,
   and, where an old rule decides about some users, those about whom it and the score differ.
   What is realised over many nights is computed from these rows. They are not published.
   Grain: decision_date, experiment, campaign, outcome, user_id. */
create table if not exists decisions.measured (
    decision_date date not null,
    experiment varchar not null,
    campaign varchar not null,
    outcome varchar not null,
    user_id bigint not null,
    part varchar not null, -- treat: for their score; explore: whatever their score; holdout; usual and untreated
    selected boolean not null, -- true if the score chooses the user
    usual_selected boolean, -- true if the old rule chooses the user; null if chance does, or if there is none
    y double not null, -- the outcome
    expected double, -- default outcome under control by the response models; null if the user has no score
    provisional boolean -- true before the outcome's window has closed
)
