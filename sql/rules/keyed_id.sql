/* A user's number by a text id: 63 bits of its HMAC-SHA256 with the home's key, whose two blocks are in the variable
   id_key of the connection. The key is in no table and in no SQL file.
   Grain: one value per user. */
create or replace macro raw.keyed_id(id) as
    ((
        '0x' || left(
            sha256(
                if(
                    getvariable('id_key') is null,
                    error('there is no key of ids here'),
                    getvariable('id_key')[2]
                ) || unhex(sha256(getvariable('id_key')[1] || encode(id::varchar)))
            ),
            16
        )
    )::ubigint >> 1)::bigint;
