/* The simulated users' ten covariates.
   Grain: user_id.  Input: raw.simulated.  All features are FLOAT. */
select
    user_id,
    x1::float as x1, -- raises the baseline and, a little, the effect
    x2::float as x2, -- raises the baseline
    x3::float as x3, -- lowers the baseline where x2 > 0
    x4::float as x4, -- raises the effect, levelling off
    x5::float as x5, -- raises the effect where positive
    x6::float as x6, -- lowers the effect above 1
    x7::float as x7, -- noise
    x8::float as x8, -- noise
    x9::float as x9, -- noise
    x10::float as x10 -- noise
from raw.simulated
