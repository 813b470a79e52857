/* A user's role in lists: holdout (never treated, so that effects can be measured), suppressed (must not be treated),
   explore (chance decides instead of the score), explore_near (so it does near the cut), usual (the old rule decides),
   ranked (the score decides) or no_value (not worth the cost).  The smallest draws are held out and explore, the
   largest are treated as usual, so another share of one group moves nobody out of another.
   Grain: one value per user. */
create or replace macro decisions.role_of(
    draw, is_excluded, is_worth, holdout_share, explore_share, usual_share := 0.0, near_share := 0.0
) as
    case
        when draw < holdout_share then 'holdout'
        when is_excluded then 'suppressed'
        when draw < holdout_share + explore_share then 'explore'
        when draw < holdout_share + explore_share + near_share then 'explore_near'
        when draw >= 1 - usual_share then 'usual'
        when is_worth then 'ranked'
        else 'no_value'
    end;
