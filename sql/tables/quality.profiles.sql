/* Histograms of the features that the current models were trained on.  Grain: experiment, feature, bound. */
create table if not exists quality.profiles (
    experiment varchar not null,
    feature varchar not null,
    bound double not null, -- upper end of the bin, included; infinity: the rest; NaN: users without a value
    n bigint not null, -- users
    primary key (experiment, feature, bound)
)
