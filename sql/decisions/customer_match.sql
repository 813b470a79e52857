/* Users of one list for Google's Customer Match: the sha256, in hex, of each e-mail address in lower case and without
   blanks around it. Users without an address are left out.
   Grain: address.  Inputs: the delivered users of one list.  Bound: the list's key. */
select distinct sha256(lower(trim({{ email }}))) as "Email" -- noqa: RF06
from {{ delivered }}
where trim({{ email }}) like '%_@_%'
order by 1
