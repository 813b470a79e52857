"""The API's client: the only way in which the UI learns anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from ui.settings import Settings

JsonValue = str | int | float | bool | None


class ApiError(Exception):
    """The API gave no decision; the message says why and what to do."""


class ApiDownError(ApiError):
    """Nothing answers at the API's address."""


class ApiRefusedError(ApiError):
    """The API answered with a problem."""


class Decision(BaseModel):
    """The API's answer about one user; score, threshold and response are differences and shares."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    decision: Literal["treat", "no_treat"]
    score: float
    threshold: float | None  # None: nobody is treated
    budget: float
    arm: str
    learner: str
    outcome: str
    experiment: str
    model_version: str
    snapshot_id: str
    response: float


class ApiClient:
    """Asks the API at ``url``, waiting for at most ``timeout`` seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

    @classmethod
    def from_environment(cls) -> ApiClient:
        """The client of the API that ``UPLIFT_API_URL`` names."""
        settings = Settings()
        return cls(settings.api_url, settings.api_timeout)

    def score(
        self,
        *,
        experiment: str,
        attributes: Mapping[str, JsonValue],
        budget: float,
        arm: str,
        learner: str | None = None,
    ) -> Decision:
        """Ask for one user's decision; ``budget`` is a share, None is the published learner.

        Raises:
            ApiDownError: nothing answers, or it is not this API that does.
            ApiRefusedError: the API answered with a problem.
        """
        body = {
            "experiment": experiment,
            "attributes": dict(attributes),
            "budget": budget,
            "arm": arm,
            "learner": learner,
        }
        answer = self._post("/score", body)
        if answer.is_success:
            return self._decision(answer)
        raise ApiRefusedError(self._detail(answer))

    def _post(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        try:
            # The environment's proxies are for the network; the API is a neighbour.
            with httpx.Client(timeout=self._timeout, trust_env=False) as client:
                return client.post(f"{self.url}{path}", json=body)
        except httpx.TimeoutException as error:
            raise ApiDownError(
                f"The API at {self.url} did not answer within {self._timeout:g} seconds."
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ApiDownError(f"The API does not answer at {self.url}.") from error

    def _decision(self, answer: httpx.Response) -> Decision:
        try:
            return Decision.model_validate_json(answer.content)
        except ValidationError as error:
            raise self._not_this_api() from error

    def _detail(self, answer: httpx.Response) -> str:
        try:
            return str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._not_this_api() from error

    def _not_this_api(self) -> ApiDownError:
        return ApiDownError(f"Something else than this project's API answers at {self.url}.")
