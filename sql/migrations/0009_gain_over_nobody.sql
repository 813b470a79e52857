/* What the gate's users say of treating nobody. */
alter table models.registry add column if not exists gain_over_nobody double;
alter table models.registry add column if not exists gain_over_nobody_std_error double;
