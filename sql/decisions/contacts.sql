/* Treatments that count for a contact cap.  A user of the holdout who would have been treated counts as if they
   had been: the two groups stay comparable night after night.
   Grain: decision_date, experiment, campaign, user_id.  Inputs: decisions.treat_list. */
select
    decision_date,
    experiment,
    campaign,
    user_id
from {{ treat_list }}
where treated or (decision = 'holdout' and selected)
