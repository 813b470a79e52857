/* Treatments that count for a contact cap.  A holdout user who would have been treated counts as treated, so the
   two groups stay comparable night after night.
   Grain: decision_date, experiment, campaign, user_id.  Inputs: decisions.treat_list. */
select
    decision_date,
    experiment,
    campaign,
    user_id
from {{ treat_list }}
where treated or (decision = 'holdout' and selected)
