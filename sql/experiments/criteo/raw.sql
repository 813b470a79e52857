/* Criteo's uplift file as it came, one row per user.
   Grain: user_id, the row's number in the file, from 1.  Input: the csv.gz at $source.
   Columns are found by name. The file's other columns are kept: exposure (1: was shown the advertisement)
   comes after the treatment and is never a feature; some copies of the file lack it. */
select
    row_number() over () as user_id,
    f0, -- anonymous feature, randomly projected
    f1, -- anonymous feature, randomly projected
    f2, -- anonymous feature, randomly projected
    f3, -- anonymous feature, randomly projected
    f4, -- anonymous feature, randomly projected
    f5, -- anonymous feature, randomly projected
    f6, -- anonymous feature, randomly projected
    f7, -- anonymous feature, randomly projected
    f8, -- anonymous feature, randomly projected
    f9, -- anonymous feature, randomly projected
    f10, -- anonymous feature, randomly projected
    f11, -- anonymous feature, randomly projected
    treatment, -- 1: could be shown the advertisement
    conversion, -- 1: converted within two weeks
    visit, -- 1: visited within two weeks
    * exclude (f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, treatment, conversion, visit)
from read_csv(
    $source,
    header = true,
    delim = ',',
    quote = '',
    escape = '',
    types = {
        'f0': 'FLOAT',
        'f1': 'FLOAT',
        'f2': 'FLOAT',
        'f3': 'FLOAT',
        'f4': 'FLOAT',
        'f5': 'FLOAT',
        'f6': 'FLOAT',
        'f7': 'FLOAT',
        'f8': 'FLOAT',
        'f9': 'FLOAT',
        'f10': 'FLOAT',
        'f11': 'FLOAT',
        'treatment': 'INTEGER',
        'conversion': 'INTEGER',
        'visit': 'INTEGER'
    }
)
