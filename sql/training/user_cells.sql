/* The cell of each user.
   Grain: user_id.  Inputs: binned users, training.<experiment>_feature_cells. */
select
    binned.user_id,
    feature_cells.cell
from {{ binned }} as binned
inner join {{ feature_cells }} as feature_cells using ({{ feature_list }})
