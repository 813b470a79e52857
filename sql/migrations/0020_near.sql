/* Exploration near the cut, and what exploration costs. */
alter table decisions.nights add column if not exists explored_near bigint;
alter table decisions.nights add column if not exists exploration_loss double;
alter table decisions.nights add column if not exists exploration_loss_std_error double;
alter table decisions.list_rules add column if not exists explore_near double;
alter table decisions.list_rules add column if not exists explore_band double;
