/* The number of clusters behind figures of experiments that declare them. */
alter table evaluation.metrics add column if not exists clusters bigint;
alter table evaluation.average_effects add column if not exists clusters bigint;
alter table evaluation.policy_value add column if not exists clusters bigint;
alter table evaluation.policy_value add column if not exists incremental_covariance double[];
alter table decisions.realised add column if not exists clusters bigint;
