/* The number by which chance decides about a user in lists, the same for good.  An md5 of the experiment's salt
   and the user id, 64 bits of it.  Grain: one value of a user. */
create or replace macro decisions.list_hash(salt, user_id) as
    md5_number_lower(salt || '/list/' || user_id);
