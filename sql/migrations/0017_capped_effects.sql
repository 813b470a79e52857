/* The effect on the outcome without its largest values, where a few users decide the effect on the outcome itself. */
alter table evaluation.average_effects add column if not exists cap_low double;
alter table evaluation.average_effects add column if not exists cap_high double;
alter table evaluation.average_effects add column if not exists capped_effect double;
alter table evaluation.average_effects add column if not exists capped_std_error double;
