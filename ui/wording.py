"""Decisions in words."""

from __future__ import annotations

from ui.client import Decision

# By the API's names; others are shown as they are called.
TREATMENTS = {
    "womens": "the e-mail with women's goods",
    "mens": "the e-mail with men's goods",
}
OUTCOMES = {
    "visit": "visit the shop's site within two weeks",
    "converted": "convert",
}
ROLES = {
    "holdout": "This user is held out for good, so that the effect of the lists can be measured: "
    "not treated, whatever the score says.",
    "suppressed": "This user is suppressed: not treated, whatever the score says.",
}
MINUS = "\N{MINUS SIGN}"
LEARNERS = {
    "s": "S-learner",
    "t": "T-learner",
    "x": "X-learner",
    "r": "R-learner",
    "dr": "DR-learner",
}


def points(effect: float, *, binary: bool = True) -> str:
    """A difference, signed and short: of shares in percentage points, else in the outcome's units."""
    text = f"{100 * effect:+.2f} pp" if binary else f"{effect:+,.4g}"
    return text.replace("-", MINUS)


def points_in_words(effect: float, *, binary: bool = True) -> str:
    """The same for a sentence."""
    text = f"{100 * effect:.2f} percentage points" if binary else f"{effect:,.4g}"
    return text.replace("-", MINUS)


def level(value: float, *, binary: bool = True) -> str:
    """A share in percent, or a mean in the outcome's units."""
    return percent(value) if binary else f"{value:,.4g}".replace("-", MINUS)


def percent(share: float) -> str:
    """A share in whole percents, with a decimal where there is one."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def headline(decision: Decision) -> str:
    """The decision at this budget, in a line."""
    verdict = "Treat" if decision.decision == "treat" else "Don't treat"
    return f"{verdict} at a budget of {percent(decision.budget)}"


def effect(decision: Decision, *, binary: bool = True) -> str:
    """What the treatment is expected to change for this user, in shares where the outcome is binary."""
    treatment = TREATMENTS.get(decision.arm, decision.arm)
    treatment = treatment[0].upper() + treatment[1:]
    chance = f"this user's chance to {OUTCOMES.get(decision.outcome, decision.outcome)}"
    if not binary:
        chance = f"this user's {decision.outcome}"
    if decision.score == 0:
        return f"{treatment} should not change {chance}."
    change = "raise" if decision.score > 0 else "lower"
    # Effect and outcome come from different models: their sum is about right, and may leave 0 to 1.
    treated = decision.response + decision.score
    if binary:
        treated = min(max(treated, 0.0), 1.0)
    by = points_in_words(abs(decision.score), binary=binary)
    return (
        f"{treatment} should {change} {chance} by **{by}**, from about "
        f"{level(decision.response, binary=binary)} to about {level(treated, binary=binary)}."
    )


def reason(decision: Decision, *, binary: bool = True) -> str:
    """Why that leads to the decision."""
    if decision.threshold is None:
        return "This budget is too small to treat anybody."
    line = points_in_words(decision.threshold, binary=binary)
    share = f"the {percent(decision.budget)} of users who gain most"
    if decision.decision == "treat":
        return f"It reaches {line}, the least uplift among {share}."
    return f"It stays below {line}, the least uplift among {share}."


def standing(decision: Decision) -> str:
    """Where the user stands among held-out users."""
    return f"{percent(decision.top_share)} of users have this uplift or more."


def role(name: str) -> str:
    """What the nightly list does with such a user."""
    return ROLES[name]
