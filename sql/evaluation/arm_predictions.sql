/* Predictions of the cells with held-out users: effects by every learner, outcomes by arm.
   Grain: arm, cell; arm is the position in $arms, from 0.  Inputs: training.<experiment>_predictions,
   training.<experiment>_cells.  Bound: $arms, the treatments. */
select
    list_position({{ bind.arms }}, arm) - 1 as arm,
    {{ columns }}
from {{ predictions }} as predictions
where exists (
    select 1
    from {{ cells }} as cells
    where cells.cell = predictions.cell and cells.split = 'holdout'
)
order by arm, cell
