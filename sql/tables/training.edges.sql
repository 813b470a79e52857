/* Lower bin edges of every feature: what cells were binned by and models were trained on.
   Grain: experiment, position, edge. */
create table if not exists training.edges (
    experiment varchar not null,
    position integer not null, -- of the feature, from 1
    feature varchar not null,
    edge float not null, -- lower end of a bin, included
    primary key (experiment, position, edge)
)
