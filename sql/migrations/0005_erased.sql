/* Tombstones of erased users. */
create table if not exists training.erased (
    experiment varchar not null,
    user_key varchar not null,
    secret varchar not null,
    holdout boolean not null,
    erased_at timestamp not null,
    primary key (experiment, user_key)
);
