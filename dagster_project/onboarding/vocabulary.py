"""Usual names of an experiment's parts."""

from __future__ import annotations

import re


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MAX_ARMS = 30
# Likelier names come first.
ARMS = _listed(
    """treatment treated arm variant treat experiment_group test_group group segment campaign condition
    bucket cell assignment offer w t"""
)
CONTROL = re.compile(
    r"^(control|ctrl|none|holdout|placebo|baseline|untreated|0|0\.0|false)$|^no[ _-]", re.IGNORECASE
)
USERS = re.compile(
    r"^(id|uuid|(user|customer|client|member|account|visitor|subscriber|person|contact|patient)"
    r"_?(id|key|uuid|no|nr|number)?)$"
)
OUTCOMES = frozenset(
    _listed(
        """visit visits visited click clicks clicked conversion conversions converted purchase purchases
        purchased bought order orders ordered spend spent revenue sales sale profit churn
        churned retained retention renewed renewal signup subscribed response responded outcome target
        label y redeemed booked bookings donated donation"""
    )
)
# Words of columns about the time before the treatment.
PAST = frozenset(
    _listed(
        """past prior previous prev last before history historic historical hist avg mean average pre ago
        days since recency lifetime total ltv 30d 60d 90d 180d 365d 3m 6m 12m"""
    )
)
# Words of columns about the time after the treatment.
AFTER = frozenset(
    _listed("exposure exposed opened delivered impression impressions unsubscribed received post after")
)
ASSIGNED = frozenset(
    _listed(
        """assigned_at assignment_time assignment_date assignment_timestamp assigned enrolled_at sent_at
        randomized_at randomised_at treated_at"""
    )
)
YES = frozenset(_listed("yes y true t 1 ja j oui si sí sim da tak x"))
NO = frozenset(_listed("no n false f 0 nein nee nej non não nie"))
NOT = re.compile(r"^(not|no|non|nicht|kein|keine|without)[ _-]+", re.IGNORECASE)
GAPS = frozenset({*_listed("null (null) na n/a #n/a <na> nan none nil missing . - -- ?"), "#null!"})
ROW_NUMBERS = frozenset(_listed("rownames rowname row_number row_names index unnamed_0 x1"))
ID = frozenset(_listed("id uuid key"))  # the last word of a column that identifies something
# Words of a column that names a unit of several users, which may have been assigned as a whole.
UNITS = frozenset(
    _listed(
        """account branch city class classroom clinic cluster company county district family home
        hospital household market plant region school shop site store teacher team village ward"""
    )
)
