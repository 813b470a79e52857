/* Added-up cells with the numbers of their features: the same rows as cells.sql makes of the whole data.
   Grain: cell, arm, split, fold.  Inputs: cells of all parts added up, see merged_cells.sql;
   training.<experiment>_feature_cells. */
select
    feature_cells.cell,
    feature_cells.* exclude (cell),
    parts.arm,
    parts.split,
    parts.fold,
    parts.n{% for outcome in outcomes %},
        parts.{{ outcome.sum }}::double as {{ outcome.sum }},
        parts.{{ outcome.sum_sq }}::double as {{ outcome.sum_sq }},
        parts.{{ outcome.events }}{% endfor %}
from {{ parts }} as parts
inner join {{ feature_cells }} as feature_cells using ({{ feature_list }})
order by feature_cells.cell, parts.arm, parts.split, parts.fold
