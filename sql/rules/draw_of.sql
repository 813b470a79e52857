/* A user's draw, at least 0 and below 1.  The smallest draws are the holdout, the next ones the explorers.
   Grain: one value per user. */
create or replace macro decisions.draw_of(list_hash) as
    list_hash / 18446744073709551616.0;
