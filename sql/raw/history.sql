/* Rows of a history file that were known at the time of each user's assignment: the rows of the experiment's
   users, without rows that became known later.
   Grain: the file's.  Inputs: raw.<experiment>, the file's rows. */
select
    raw.user_id,
    history.* exclude ({{ owners }})
from {{ incoming }} as history
inner join {{ raw }} as raw on history.{{ owner }}::varchar = raw.{{ id_column }}::varchar
where history.{{ available_at }} <= raw.{{ assigned_at }}
order by raw.user_id, history.{{ available_at }}
