/* Every user's CATE under each learner, for each treatment arm, and the response model's prediction
   (outcome under control).
   {%- if bagged %} Beside it the standard error of the CATE under the learner that decides, from its bags.{% endif %}
   Grain: user_id, arm.  Inputs: training.<experiment>_predictions, training.<experiment>_user_cells,
   assignment.<experiment>. */
select
    user_cells.user_id,
    predictions.arm,
    assignment.split,
    predictions.cate_s,
    predictions.cate_t,
    predictions.cate_x,
    predictions.cate_r,
    predictions.cate_dr,
    predictions.cate_stack,
    {%- if bagged %}
    predictions.cate_std_error,
    {%- endif %}
    predictions.response
from {{ predictions }} as predictions
inner join {{ user_cells }} as user_cells using (cell)
inner join {{ assignment }} as assignment using (user_id)
order by predictions.arm, user_cells.user_id
