"""The client of the API: the UI gets all of its data here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from ui.settings import Settings

JsonValue = str | int | float | bool | None
KEY = "UPLIFT_API_KEY"  # sent with every request; the API names it X-API-Key


class ApiError(Exception):
    """The API gave no answer; the message says why and what to do."""


class ApiDownError(ApiError):
    """Nothing answers at the API's address."""


class ApiRefusedError(ApiError):
    """The API answered with a problem."""


class Listed(BaseModel):
    """A user's row in the newest list about the treatment."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    decision_date: str
    campaign: str
    learner: str
    model_version: str
    budget: float
    cut: str
    decision: str
    treated: bool
    rank: int | None
    reason: str


class Decision(BaseModel):
    """The API's answer about one user. Score and threshold are effects, response is a mean outcome."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    decision: Literal["treat", "no_treat"]
    reason: str
    score_decision: Literal["treat", "no_treat"]
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
    top_share: float
    role: str | None = None
    listed: Listed | None = None
    stale: bool = False


class ApiClient:
    """A client of the API at ``url`` that waits for at most ``timeout`` seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

    @classmethod
    def from_environment(cls) -> ApiClient:
        """Make the client of the API that ``UPLIFT_API_URL`` names."""
        settings = Settings()
        return cls(settings.api_url, settings.api_timeout)

    def score(self, body: Mapping[str, object]) -> Decision:
        """Ask for one user's decision.

        Raises:
            ApiDownError: nothing answers, or another program than this API does.
            ApiRefusedError: the API answered with a problem.
        """
        try:
            return Decision.model_validate(self.post("/score", body))
        except ValidationError as error:
            raise self._not_this_api() from error

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Send a POST; return the answer, parsed from JSON. It raises what ``score`` raises."""
        return self._send("POST", path, json=dict(body))

    def get(self, path: str, **query: JsonValue) -> Any:
        """Send a GET, without the parameters that are None; return the answer, parsed from JSON.

        It raises what ``score`` raises.
        """
        parameters = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", path, params=parameters)

    def _send(self, method: str, path: str, **request: Any) -> Any:
        headers = {"X-API-Key": os.environ[KEY]} if KEY in os.environ else {}
        try:
            # The environment's proxies are for the internet; the API is on this network.
            with httpx.Client(timeout=self._timeout, trust_env=False, headers=headers) as client:
                answer = client.request(method, f"{self.url}{path}", **request)
        except httpx.TimeoutException as error:
            raise ApiDownError(
                f"The API at {self.url} did not answer within {self._timeout:g} seconds."
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ApiDownError(f"The API does not answer at {self.url}.") from error
        try:
            content = answer.json()
            if answer.is_success:
                return content
            detail = str(content["detail"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._not_this_api() from error
        raise ApiRefusedError(detail)

    def _not_this_api(self) -> ApiDownError:
        return ApiDownError(f"Another program than this project's API answers at {self.url}.")
