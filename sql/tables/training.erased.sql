/* Tombstones of erased users: they stay out when their file is read again, and nobody is drawn in their place. The
   batch's own; a snapshot has no copy.  Grain: experiment, user_key. */
create table if not exists training.erased (
    experiment varchar not null,
    user_key varchar not null, -- sha256 of the secret and the user id
    secret varchar not null, -- of this warehouse; without it, the key says nothing about the user
    holdout boolean not null, -- true if the user was held out of lists
    erased_at timestamp not null, -- UTC
    primary key (experiment, user_key)
)
