/* Merged cells with the number of their feature cell: the rows that cells.sql makes of the whole data.
   Grain: cell, arm, split, fold.  Inputs: merged cells of all parts, see merged_cells.sql;
   training.<experiment>_feature_cells. */
with numbered as (
    select
        parts.*,
        feature_cells.cell
    from {{ parts }} as parts
    inner join {{ feature_cells }} as feature_cells using ({{ feature_list }})
)

select
    cell,
    {{ feature_list }},
    arm,
    split,
    fold,
    n{% for outcome in outcomes %},
        {{ outcome.sum }}::double as {{ outcome.sum }},
        {{ outcome.sum_sq }}::double as {{ outcome.sum_sq }},
        {{ outcome.events }}{% endfor %}
from numbered
order by cell, arm, split, fold
