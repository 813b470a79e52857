/* The e-mail campaign's file as it came, one row per customer.
   Grain: user_id, the row's number in the file, from 1.  Input: the CSV at $source.
   Columns are found by name. */
select
    row_number() over () as user_id,
    recency,         -- months since the last purchase
    history_segment, -- past year's spend, in brackets of dollars
    history,         -- past year's spend, dollars
    mens,            -- 1: bought men's goods in the past year
    womens,          -- 1: bought women's goods in the past year
    zip_code,        -- Urban, Surburban (spelled so) or Rural
    newbie,          -- 1: a new customer in the past year
    channel,         -- Phone, Web or Multichannel
    segment,         -- the e-mail that was sent
    visit,           -- 1: visited the site in the two weeks after
    conversion,      -- 1: bought in the two weeks after
    spend            -- dollars spent in the two weeks after
from read_csv(
    $source,
    header = true,
    delim = ',',
    types = {
        'recency': 'INTEGER',
        'history_segment': 'VARCHAR',
        'history': 'DOUBLE',
        'mens': 'INTEGER',
        'womens': 'INTEGER',
        'zip_code': 'VARCHAR',
        'newbie': 'INTEGER',
        'channel': 'VARCHAR',
        'segment': 'VARCHAR',
        'visit': 'INTEGER',
        'conversion': 'INTEGER',
        'spend': 'DOUBLE'
    }
)
