/* A group of users about whom the old rule decides, and whom that rule would choose. */
alter table {{ treat_list }} add column if not exists usual_selected boolean;
alter table decisions.measured add column if not exists usual_selected boolean;
alter table decisions.nights add column if not exists usual bigint;
alter table decisions.list_rules add column if not exists usual_share double;
alter table decisions.list_rules add column if not exists usual_rule varchar;
