/* What the draws of a list hash, and who is treated as a whole. */
alter table decisions.list_rules add column if not exists unit varchar;
alter table decisions.list_rules add column if not exists cluster varchar;
