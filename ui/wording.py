"""Texts for decisions, evidence and figures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ui.client import Decision

# Texts by the API's names; other names are shown in quotes.
TREATMENTS = {
    "womens": "the e-mail with women's goods",
    "mens": "the e-mail with men's goods",
}
OUTCOMES = {
    "visit": "to visit the shop's site within two weeks",
    "converted": "to convert",
}
MINUS = "\N{MINUS SIGN}"
LEARNERS = {
    "s": "S-learner",
    "t": "T-learner",
    "x": "X-learner",
    "r": "R-learner",
    "dr": "DR-learner",
    "stack": "stack of S, X and a forest",
}
RANKINGS = LEARNERS | {"random": "random targeting", "response": "response model"}
FIGURES = {
    "ate": "average effect",
    "ate_ipw": "average effect (weighted outcomes alone)",
    "policy_value": "policy value",
    "policy_value_ipw": "policy value (weighted outcomes alone)",
    "gain_over_random": "gain over random targeting",
    "qini": "Qini coefficient",
    "qini_auc": "Qini, scaled",
    "autoc": "AUTOC",
    "auuc": "AUUC",
}
CLAIMS = {
    "paired test rejects": "a comparison finds a difference where there is none",
    "learner beats random": "a learner beats random targeting where no effect differs (at most)",
    "learner beats response": "a learner beats the response model where no effect differs (at most)",
    "gate opens": "the gate opens where no effect differs (at most)",
}
Z95 = 1.959963984540054
ONE_ERROR = "± is one standard error."  # on every page that shows a ±


def decimals(*values: float) -> int:
    """Return the number of decimals for values shown together, chosen for the largest one."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest >= 1000:  # noqa: PLR2004 - thousands need no cents
        return 0
    if largest >= 1 or largest == 0:
        return 2
    return 2 - math.floor(math.log10(largest))


def points(effect: float, *, binary: bool = True, digits: int | None = None) -> str:
    """Format a difference, signed and short: in percentage points, or in the outcome's units."""
    digits = decimals(effect) if digits is None else digits
    text = f"{100 * effect:+.2f} pp" if binary else f"{effect:+,.{digits}f}"
    return text.replace("-", MINUS)


def interval(value: float, low: float, high: float, *, binary: bool = True) -> str:
    """Format a difference and its 95 % interval, with equal decimals."""
    digits = decimals(value, low, high)
    value_, low_, high_ = (points(v, binary=binary, digits=digits) for v in (value, low, high))
    return f"{value_} (95 % interval {low_} to {high_})"


def with_error(value: float, error: float) -> str:
    """Format a figure ± its standard error, to the second digit of the error."""
    digits = decimals(value)
    if math.isfinite(error) and error > 0:
        digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{digits}f} ± {error:,.{digits}f}".replace("-", MINUS)


def span(low: float, high: float) -> str:
    """Format a 95 % interval of amounts."""
    digits = decimals(low, high)
    return f"95 % interval {low:,.{digits}f} to {high:,.{digits}f}".replace("-", MINUS)


def points_in_words(effect: float, *, binary: bool = True, digits: int | None = None) -> str:
    """Format a difference for a sentence, without a plus sign."""
    digits = decimals(effect) if digits is None else digits
    text = f"{100 * effect:.2f} percentage points" if binary else f"{effect:,.{digits}f}"
    return text.replace("-", MINUS)


def level(value: float, *, binary: bool = True, digits: int | None = None) -> str:
    """Format a share in percent, or a mean in the outcome's units."""
    digits = decimals(value) if digits is None else digits
    return percent(value) if binary else f"{value:,.{digits}f}".replace("-", MINUS)


def percent(share: float) -> str:
    """Format a share in percent, with one decimal if it is not whole."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def sentence(text: str) -> str:
    """Give the text a capital first letter; the rest stays."""
    return text[0].upper() + text[1:]


def mean_of(outcome: str, *, binary: bool) -> str:
    """Name the mean of an outcome."""
    return f"share of users with '{outcome}'" if binary else f"mean '{outcome}' per user"


def added(outcome: str, *, binary: bool) -> str:
    """Name a sum of effects on an outcome."""
    return f"added users with '{outcome}'" if binary else f"added '{outcome}'"


def by_score(decision: Decision) -> str:
    """Say what the score alone would decide at this budget."""
    verdict = "Treat" if decision.score_decision == "treat" else "Don't treat"
    return f"{verdict} at a budget of {percent(decision.budget)}"


def effect(decision: Decision, *, binary: bool = True) -> str:
    """Say how the treatment is expected to change the outcome of this user."""
    treatment = TREATMENTS.get(decision.arm, f"the treatment '{decision.arm}'")
    outcome = f"'{decision.outcome}'"
    chance = f"this user's {outcome}"
    if binary:
        chance = f"this user's chance {OUTCOMES.get(decision.outcome, f'of {outcome}')}"
    if decision.score == 0:
        return f"{sentence(treatment)} should not change {chance}."
    change = "raise" if decision.score > 0 else "lower"
    # Effect and outcome come from different models: their sum is approximate, and may be outside 0 to 1.
    treated = decision.response + decision.score
    if binary:
        treated = min(max(treated, 0.0), 1.0)
    digits = decimals(decision.score, decision.response, treated)
    by = points_in_words(abs(decision.score), binary=binary, digits=digits)
    before, after = (level(v, binary=binary, digits=digits) for v in (decision.response, treated))
    return (
        f"{sentence(treatment)} should {change} {chance} by **{by}**, from about {before} to about "
        f"{after}."
    )


def reason(decision: Decision, *, binary: bool = True) -> str:
    """Explain the score's decision by the threshold."""
    if decision.threshold is None:
        return "This budget is too small to treat anybody."
    line = points_in_words(decision.threshold, binary=binary)
    share = f"the {percent(decision.budget)} of users who gain most"
    if decision.score_decision == "treat":
        return f"It reaches {line}, the least uplift among {share}."
    return f"It stays below {line}, the least uplift among {share}."


def best_arm(answer: Mapping[str, Any]) -> str:
    """Say which treatment the best-arm policy gives this user, and by which rule."""
    policy, at = answer["best_arm"], percent(answer["budget"])
    arm = f"'{answer['arm']}'"
    gives = f"**Give {arm}**" if answer["decision"] == "treat" else "**Give none of them**"
    if answer["role"] in {"holdout", "suppressed", "explore", "explore_near", "usual"}:
        rule = f"the user's role, '{answer['role']}', decides before any score does"
    elif policy["decider"] == "nobody":
        rule = "treating nobody is best on the users who judged"
    elif policy["decider"] != "multi_arm":
        rule = f"'{policy['decider']}' decides alone, since choosing each user's is not shown to beat it"
    elif policy["price"] is None:
        rule = "the budget is too small to treat anybody"
    else:
        rule = "each user gets the treatment with the largest effect less its price, if that is above 0"
    return f"{gives} at a budget of {at}: {rule}."


def standing(decision: Decision) -> str:
    """Say which share of held-out users has this uplift or more."""
    return f"{percent(decision.top_share)} of users have this uplift or more."


def gate_reason(gate: Mapping[str, Any]) -> str:
    """Return the gate's reason, with the learner's full name."""
    name = LEARNERS.get(gate["learner"], gate["learner"])
    return str(gate["gate_reason"]).replace(f"'{gate['learner']}'", f"the {name}")


BY_CHANCE = (
    "**Chance drew the users of this list**, because choosing by the score is not shown to pay off "
    '(`when_not_proven = "explore"`). Its outcomes, once measured, can settle that question.'
)


def not_shown(gate: Mapping[str, Any]) -> str:
    """Explain what a gate that is not passed means for acting on the scores."""
    if gate["gate"] == "contradicted":
        return f"**Contradicted by held-out users.** {gate_reason(gate)}"
    needed = gate["needed_users"]
    settle = (
        f"About {needed:,} users would settle it."
        if needed
        else "More users alone would not settle it: the measured gain is not above both."
    )
    name = LEARNERS.get(gate["learner"], gate["learner"])
    return (
        "**Not shown to pay off.** The evidence is inconclusive: at a budget of "
        f"{percent(gate['budget'])}, acting on the {name}'s scores is not shown to beat random "
        f"targeting and the response model, which picks who would do it anyway. {settle}"
    )


def shown(gate: Mapping[str, Any]) -> str:
    """Explain what a passed gate means: the learner, and the budget."""
    name = LEARNERS.get(gate["learner"], gate["learner"])
    return (
        f"The gate is open: at a budget of {percent(gate['budget'])}, the {name} is shown to beat "
        "random targeting and the response model."
    )


def promise(night: Mapping[str, Any], outcome: str, *, binary: bool) -> str | None:
    """Describe the effect per treated user that a list promised; None if it promised nothing."""
    if night["promised"] is None:
        return None
    low, high = _promised(night)
    figures = interval(night["promised"], low, high, binary=binary)
    return f"Promised change per treated user, {mean_of(outcome, binary=binary)}: {figures}."


def promise_holds_nothing(night: Mapping[str, Any]) -> bool:
    """Whether the interval of the promised effect is not above 0."""
    return night["promised"] is not None and not _promised(night)[0] > 0


def _promised(night: Mapping[str, Any]) -> tuple[float, float]:
    reach = Z95 * (night["promised_std_error"] or 0.0)
    return night["promised"] - reach, night["promised"] + reach


def metric(name: str) -> str:
    """Name a figure of the evaluation."""
    at = re.fullmatch(r"gain_at_(\d+)", name)
    if at:
        return f"value at a budget of {at[1]} %"
    return FIGURES.get(name, name.replace("_", " "))


def claim(name: str) -> str:
    """Name a claim of the evaluator's proof."""
    covered = name.removeprefix("covers ")
    if covered != name:
        return f"the interval holds the true {metric(covered)}"
    return CLAIMS.get(name, name)


def pinned(pin: Mapping[str, Any]) -> str:
    """Say who rolled back to what is shown, and whether something newer waits."""
    why = f" ({pin['reason']})" if pin["reason"] else ""
    waits = " A newer publication waits." if pin["newer_waits"] else ""
    when = pin["pinned_at"][:16].replace("T", " ")
    return (
        f"**Rolled back** by {pin['made_by']} on {when} UTC{why}: this stays until it is lifted.{waits}"
    )


FLAG = "1:"  # what the description of a feature begins with that is 0 or 1


def described(feature: str, features: Mapping[str, str]) -> str:
    """Return what a feature is, by its description; its name, if it has none."""
    return features.get(feature, "").removeprefix(FLAG).strip() or feature


def segment_in_words(feature: str, segment: str, features: Mapping[str, str]) -> str:
    """Say who is in a segment: what is true of them, or the values of the feature."""
    is_flag = features.get(feature, "").startswith(FLAG) and segment in {"0", "1"}
    if is_flag:
        return f"{described(feature, features)}: {'yes' if segment == '1' else 'no'}"
    return f"{described(feature, features)}: {segment}"
