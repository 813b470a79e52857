/* Users whom a campaign must not treat on a date, with the reason, and who said so: the table suppressions, the
   register, or the cap. Of several reasons, the first in this order is shown.
   Grain: user_id.  Inputs: decisions.suppressions; decisions.registered; decisions.contacts of earlier dates, and of
   the same date's other campaigns.
   most_contacts and cap_days: the contact cap, at most most_contacts treatments in cap_days days.
   with_register: false where the register itself is asked. */
create or replace macro decisions.excluded_users(
    of_experiment, of_campaign, on_date, most_contacts, cap_days, with_register := true
) as table (
    with stopped as (
        select
            user_id,
            reason,
            1 as place,
            'suppressions' as said_by
        from decisions.suppressions
        where experiment = of_experiment and (until is null or until >= on_date)
    ),

    registered as (
        select
            user_id,
            reason,
            2 as place,
            'register' as said_by
        from decisions.registered
        where with_register and experiment = of_experiment and (until is null or until >= on_date)
    ),

    contacted as (
        select
            user_id,
            'contact_cap' as reason,
            3 as place,
            'cap' as said_by
        from decisions.contacts
        where experiment = of_experiment
            and decision_date > on_date - cap_days
            and (decision_date < on_date or (decision_date = on_date and campaign <> of_campaign))
        group by user_id
        having count(*) >= most_contacts
    )

    select
        user_id,
        arg_min(reason, place) as reason,
        string_agg(said_by, ', ' order by place) as said_by
    from (
        from stopped
        union all
        from registered
        union all
        from contacted
    ) as excluded
    group by user_id
);
