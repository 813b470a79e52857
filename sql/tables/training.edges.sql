/* Lower bin edges of every feature, by which cells are binned and models are trained.
   Grain: experiment, position, edge. */
create table if not exists training.edges (
    experiment varchar not null,
    position integer not null, -- position of the feature, from 1
    feature varchar not null,
    edge float not null, -- lower end of a bin, included
    primary key (experiment, position, edge)
)
