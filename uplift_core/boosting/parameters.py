"""Boosting parameters, with cautious defaults."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator


class BoostingParameters(BaseModel):
    """Parameters of one kind of booster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: Annotated[int, Field(ge=1)]
    max_depth: Annotated[int, Field(ge=1, le=16)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    # Expected number of control users with a non-zero outcome in a leaf; it is limited to a tenth of all
    # such users.
    min_leaf_events: Annotated[float, Field(ge=0)]
    reg_lambda: Annotated[float, Field(ge=0)] = 1.0


class ForestParameters(BaseModel):
    """Parameters of the forest in the stack.

    Attributes:
        trees: number of trees.
        max_depth: largest depth of a tree.
        columns: share of the features that each split may choose from.
        min_leaf_share: smallest share of a tree's users, who are a half of all, in a leaf.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trees: Annotated[int, Field(ge=1)] = 100
    max_depth: Annotated[int, Field(ge=1, le=16)] = 5
    columns: Annotated[float, Field(gt=0, le=1)] = 0.6
    min_leaf_share: Annotated[float, Field(gt=0, lt=1)] = 1 / 75


OUTCOME_DEFAULTS = BoostingParameters(rounds=150, max_depth=2, learning_rate=0.1, min_leaf_events=60)


EFFECT_DEFAULTS = BoostingParameters(rounds=100, max_depth=2, learning_rate=0.05, min_leaf_events=300)


class LearnerParameters(BaseModel):
    """Parameters of all boosters of an experiment; a declaration may override any of them.

    ``outcome`` is for models of E[Y | ...], ``effect`` for models of the effect itself. ``s`` is for the
    S-learner's model, an outcome model that is judged by the effect that it implies; its default is
    ``outcome``. The defaults are cautious (shallow trees, few rounds, large leaves): effects are small
    compared with the outcome's noise, and an over-fitted learner ranks users worse than no learner. They
    were chosen by cross-validated R-loss (``uplift_core.learners.tuning``), never by a known truth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: BoostingParameters = OUTCOME_DEFAULTS
    effect: BoostingParameters = EFFECT_DEFAULTS
    s: BoostingParameters | None = None
    forest: ForestParameters = ForestParameters()
    seed: Annotated[int, Field(ge=0)] = 7
    # Largest number of bins of a feature. On simulated experiments 64 bins rank users as well as 256 do,
    # and give half as many cells.
    max_bins: Annotated[int, Field(ge=2, le=256)] = 64
    # Number of bootstrap samples of users that the learner that decides is fitted on; its effects are
    # their means. 0: it is fitted on the users themselves. One sample has no standard error. The default
    # is not written to manifests, so that models keep their version.
    bags: Annotated[int, Field(ge=0, le=200)] = Field(0, exclude_if=lambda bags: not bags)
    # A fact about this choice, not a parameter: no manifest has it, and nobody declares it.
    _tuned_folds: int = PrivateAttr(0)

    @property
    def tuned_folds(self) -> int:
        """Number of folds, from the first, whose users chose these parameters: they judge no learner."""
        return self._tuned_folds

    def tuned_on(self, folds: int) -> Self:
        """Return a copy that knows on how many folds, from the first, it was chosen."""
        tuned = self.model_copy()
        tuned._tuned_folds = folds  # noqa: SLF001 - its own
        return tuned

    @field_validator("bags")
    @classmethod
    def _more_than_one(cls, bags: int) -> int:
        if bags == 1:
            raise ValueError("one bag has no standard error; give 2 or more, or 0 for none")
        return bags

    @model_validator(mode="before")
    @classmethod
    def _merge_with_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        defaults = {"outcome": OUTCOME_DEFAULTS, "effect": EFFECT_DEFAULTS, "s": OUTCOME_DEFAULTS}
        declared = {
            kind: value for kind, value in data.items() if isinstance(value, dict) and kind in defaults
        }
        return data | {kind: defaults[kind].model_dump() | value for kind, value in declared.items()}

    def with_rounds(self, rounds: int) -> Self:
        """Return a copy with this number of boosting rounds for every kind of model, and trees."""
        kinds = {name: getattr(self, name) for name in ("outcome", "effect", "s")}
        changed = {
            name: parameters.model_copy(update={"rounds": rounds})
            for name, parameters in kinds.items()
            if parameters
        }
        forest = self.forest.model_copy(update={"trees": rounds})
        return self.model_copy(update={**changed, "forest": forest})
