"""Describe a decision together with the newest list, without contradiction."""

from __future__ import annotations

from ui.client import Decision, Listed
from ui.wording import LEARNERS, by_score, percent

NEVER_TREATED = {"holdout": "held out", "suppressed": "suppressed"}
HELD_OUT = "This user is held out for good, so that the effect of the lists can be measured."
EXPLORES = "Chance decides about this user, an explorer, instead of the score."
USUAL = "This user is treated as usual: the old rule decides, so that the gain over it can be measured."
CONTACT_CAP = "This user has been treated as often as the contact cap allows."
SUPPRESSED = "This user has been put on the list of those who are not to be contacted"
TWO_RULES = (
    "The list takes the best users until its exact size is reached; an answer uses the held-out "
    'threshold, which gives about that size. With `cut = "threshold"` both use the threshold.'
)


def headline(decision: Decision) -> str:
    """Say what to do with this user, and whether the newest list does so: a sentence without stop."""
    listed = decision.listed
    if decision.role in NEVER_TREATED:
        return f"Must not be treated: {NEVER_TREATED[decision.role]}"
    if listed is None:
        return verdict(decision)
    if two_rules_differ(decision):
        on, though = ("On", "below") if listed.treated else ("Not on", "above")
        return f"{on} the list of {listed.decision_date}{_place(listed)}, though {though} the threshold"
    return f"{verdict(decision)}; {_list_says(decision, listed)}"


def verdict(decision: Decision) -> str:
    """Say what to do at this budget."""
    verb = "Treat" if decision.decision == "treat" else "Don't treat"
    return f"{verb} at a budget of {percent(decision.budget)}"


def is_to_be_treated(decision: Decision) -> bool:
    """Whether the headline says to treat: if the two rules differ, the list is carried out."""
    if decision.listed is not None and two_rules_differ(decision):
        return decision.listed.treated
    return decision.decision == "treat"


def why(decision: Decision) -> str | None:
    """Explain why the score does not decide; None if it decides."""
    explanation = {
        "holdout": HELD_OUT,
        "explore": EXPLORES,
        "explore_near": EXPLORES,
        "usual": USUAL,
        "suppressed": CONTACT_CAP if decision.reason == "contact_cap" else _suppressed(decision),
    }.get(decision.role or "")
    if explanation is None:
        return TWO_RULES if two_rules_differ(decision) else None
    listed = ""
    if decision.role in NEVER_TREATED and decision.listed is not None:
        says = "was made before and treats" if decision.listed.treated else "leaves out"
        listed = f" The list of {decision.listed.decision_date} {says} this user."
    return f"{explanation}{listed}\n\nThe score alone would say: {by_score(decision)}."


def two_rules_differ(decision: Decision) -> bool:
    """Whether list and threshold differ for the same target, which happens only at an exact size."""
    listed = decision.listed
    return (
        listed is not None
        and decision.role == "ranked"
        and listed.decision in {"treat", "no_treat"}
        and not _other_target(decision, listed)
        and listed.treated != (decision.decision == "treat")
    )


def _list_says(decision: Decision, listed: Listed) -> str:
    """Say what the list does, such as: the list of 2026-03-01 at 30 % does not (place 25,000)."""
    treats = decision.decision == "treat"
    if listed.treated:
        does = "does so, too" if treats else "does"
    else:
        does = "does not" if treats else "does not either"
    target = _other_target(decision, listed)
    return f"the list of {listed.decision_date}{target} {does}{_place(listed)}"


def _other_target(decision: Decision, listed: Listed) -> str:
    """Describe the list's budget, learner and model where they differ from the decision's."""
    target = "" if listed.budget == decision.budget else f" at {percent(listed.budget)}"
    if listed.learner != decision.learner:
        target += f" by the {LEARNERS.get(listed.learner, listed.learner)}"
    if listed.model_version != decision.model_version:
        target += " by an earlier model"
    return target


def _suppressed(decision: Decision) -> str:
    return f"{SUPPRESSED} ({decision.reason})."


def _place(listed: Listed) -> str:
    return "" if listed.rank is None else f" (place {listed.rank:,})"
