/* Users of one list in the columns that Braze's Cloud Data Ingestion reads: the attribute uplift_<campaign> of a user
   is the treatment, and null for those who left the list, which removes it.
   Grain: user.  Inputs: the delivered users of one list.
   Bound: $attribute; of a table $updated_at, since files have no UPDATED_AT; and the list's key. */
select
    {% if of_table %}
        {{ bind.updated_at }}::timestamp as "UPDATED_AT", -- noqa: RF06
    {% endif %}
    {{ id }}::varchar as "EXTERNAL_ID", -- noqa: RF06
    json_object({{ bind.attribute }}, {{ treatment }})::varchar as "PAYLOAD" -- noqa: RF06
    {%- if of_table %}
        ,
        experiment,
        campaign,
        decision_date
    {%- endif %}
from {{ delivered }}
order by 2
