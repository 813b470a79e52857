/* Users whom a campaign must not treat on a date, with the reason.
   Grain: user_id.  Inputs: decisions.suppressions; decisions.contacts of earlier dates, and of the same date's other
   campaigns.
   most_contacts and cap_days: the contact cap, at most most_contacts treatments in cap_days days. */
create or replace macro decisions.excluded_users(
    of_experiment, of_campaign, on_date, most_contacts, cap_days
) as table (
    with stopped as (
        select
            user_id,
            reason
        from decisions.suppressions
        where experiment = of_experiment and (until is null or until >= on_date)
    ),

    contacted as (
        select
            user_id,
            'contact_cap' as reason
        from decisions.contacts
        where experiment = of_experiment
            and decision_date > on_date - cap_days
            and (decision_date < on_date or (decision_date = on_date and campaign <> of_campaign))
        group by user_id
        having count(*) >= most_contacts
    )

    select
        user_id,
        min_by(reason, reason = 'contact_cap') as reason
    from (
        from stopped
        union all
        from contacted
    ) as excluded
    group by user_id
);
