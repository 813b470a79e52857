/* The simulated marketing RCT, one row per user, with the truth that real experiments hide.
   Grain: user_id, the row's number in the file, from 1.  Input: the Parquet file at $source. */
select
    row_number() over () as user_id,
    columns('x[0-9]+'),              -- standard normal, independent
    treated::integer as treated,     -- 1: treated
    converted::integer as converted, -- 1: converted
    p0,                              -- chance to convert under control
    p1,                              -- chance to convert under treatment
    p1 - p0 as true_cate             -- the user's true effect
from read_parquet($source)
