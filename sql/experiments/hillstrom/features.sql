/* What was known of each customer before the e-mail was sent.
   Grain: user_id.  Input: raw.hillstrom.  All features are FLOAT. */
select
    user_id,
    recency::float as recency, -- months since the last purchase
    history::float as history, -- past year's spend, dollars
    mens::float as mens, -- 1: bought men's goods in the past year
    womens::float as womens, -- 1: bought women's goods in the past year
    newbie::float as newbie, -- 1: a new customer in the past year
    (zip_code = 'Urban')::float as zip_urban, -- 1: lives in a city
    (zip_code = 'Rural')::float as zip_rural, -- 1: lives in the country
    (channel in ('Web', 'Multichannel'))::float as channel_web, -- 1: bought on the web in the past year
    (channel in ('Phone', 'Multichannel'))::float as channel_phone -- 1: bought by phone in the past year
from raw.hillstrom
