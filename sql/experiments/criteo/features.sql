/* Criteo's anonymous features of each user.
   Grain: user_id.  Input: raw.criteo.  All features are FLOAT. */
select
    user_id,
    f0::float as f0, -- anonymous feature, randomly projected
    f1::float as f1, -- anonymous feature, randomly projected
    f2::float as f2, -- anonymous feature, randomly projected
    f3::float as f3, -- anonymous feature, randomly projected
    f4::float as f4, -- anonymous feature, randomly projected
    f5::float as f5, -- anonymous feature, randomly projected
    f6::float as f6, -- anonymous feature, randomly projected
    f7::float as f7, -- anonymous feature, randomly projected
    f8::float as f8, -- anonymous feature, randomly projected
    f9::float as f9, -- anonymous feature, randomly projected
    f10::float as f10, -- anonymous feature, randomly projected
    f11::float as f11 -- anonymous feature, randomly projected
from raw.criteo
