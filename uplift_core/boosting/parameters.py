"""How boosters are grown."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class BoostingParameters(BaseModel):
    """How one kind of booster is grown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: Annotated[int, Field(ge=1)]
    max_depth: Annotated[int, Field(ge=1, le=16)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    # Users with a non-zero outcome that a leaf should hold under control, in expectation; at most a
    # tenth of all there are.
    min_leaf_events: Annotated[float, Field(ge=0)]
    reg_lambda: Annotated[float, Field(ge=0)] = 1.0


OUTCOME_DEFAULTS = BoostingParameters(rounds=150, max_depth=2, learning_rate=0.1, min_leaf_events=60)


EFFECT_DEFAULTS = BoostingParameters(rounds=100, max_depth=2, learning_rate=0.05, min_leaf_events=300)


class LearnerParameters(BaseModel):
    """Parameters of all boosters of an experiment; a declaration may override any of them.

    ``outcome`` is for models of E[Y | ...], ``effect`` for models of the effect itself, ``s`` for the
    S-learner's model, an outcome model that is judged by the effect it implies; as ``outcome`` unless
    given. The defaults
    are cautious (shallow trees, few rounds, large leaves): effects are small beside the outcome's
    noise, and an over-fitted learner ranks users worse than no learner. They were chosen by
    cross-validated R-loss (``uplift_core.learners.tuning``), never by a known truth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: BoostingParameters = OUTCOME_DEFAULTS
    effect: BoostingParameters = EFFECT_DEFAULTS
    s: BoostingParameters | None = None
    seed: Annotated[int, Field(ge=0)] = 7
    # Bins of a feature. On simulated experiments 64 rank users as well as 256 do, and rows fall into
    # half as many cells.
    max_bins: Annotated[int, Field(ge=2, le=256)] = 64

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults_of_what_is_not_said(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        defaults = {"outcome": OUTCOME_DEFAULTS, "effect": EFFECT_DEFAULTS, "s": OUTCOME_DEFAULTS}
        said = {
            kind: value for kind, value in data.items() if isinstance(value, dict) and kind in defaults
        }
        return data | {kind: defaults[kind].model_dump() | value for kind, value in said.items()}

    def with_rounds(self, rounds: int) -> Self:
        """The same with so many boosting rounds for every kind of model."""
        kinds = {name: getattr(self, name) for name in ("outcome", "effect", "s")}
        changed = {
            name: found.model_copy(update={"rounds": rounds}) for name, found in kinds.items() if found
        }
        return self.model_copy(update=changed)
