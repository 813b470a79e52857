/* A user's permanent pseudo-random number for lists: 64 bits of an md5 of the experiment's salt and the user id.
   Grain: one value per user. */
create or replace macro decisions.list_hash(salt, user_id) as
    md5_number_lower(salt || '/list/' || user_id);
