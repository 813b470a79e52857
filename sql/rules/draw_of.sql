/* A user's draw, from 0 to below 1.  The smallest ones are the holdout, the next ones the explorers.
   Grain: one value of a user. */
create or replace macro decisions.draw_of(list_hash) as
    list_hash / 18446744073709551616.0;
