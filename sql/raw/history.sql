/* What was known of each user when the user was assigned: a history file's rows of the experiment's users,
   without those that became known later.
   Grain: as the file's.  Inputs: raw.<experiment>, the file's rows. */
select
    raw.user_id,
    history.* exclude ({{ owners }})
from {{ incoming }} as history
inner join {{ raw }} as raw on history.{{ owner }}::varchar = raw.{{ own_id }}::varchar
where history.{{ available_at }} <= raw.{{ assigned_at }}
order by raw.user_id, history.{{ available_at }}
