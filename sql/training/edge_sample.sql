/* The train users whose feature values the bin edges are read from: all of them, or $max_users chosen
   by salted md5, whatever order or part of the data they come in.
   Grain: user.  Inputs: features.<experiment>, assignment.<experiment>.  Bound: $salt, $max_users. */
select features.* exclude (user_id)
from {{ features }} as features
inner join {{ assignment }} as assignment using (user_id)
where assignment.split = 'train'
order by md5_number_lower({{ bind.salt }} || '/edges/' || features.user_id), features.user_id
limit {{ bind.max_users }}
