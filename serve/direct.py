"""Routes that are described by FastAPI and run without most of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serve.errors import RequestError

Model = TypeVar("Model", bound=BaseModel)


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request and its body, a model, and makes the response itself.

    It is described as any other. For each request, FastAPI's search for dependencies and its checks of
    what it parsed before, would cost as much as the request's share of the scoring.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The body's JSON is parsed and checked in one step."""
        endpoint, body = self.endpoint, self.body_field
        if body is None:
            raise TypeError(f"{self.path}: its endpoint takes no body")
        model: type[BaseModel] = body.field_info.annotation

        async def handle(request: Request) -> Response:
            response: Response = await endpoint(request, parsed(model, await json_of(request)))
            return response

        return handle


async def json_of(request: Request) -> bytes:
    """The body of a request that says it is JSON.

    Raises:
        RequestError: it says something else, or nothing.
        HTTPException: the caller left before it was complete.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise RequestError("body: not sent as JSON; set the header Content-Type: application/json")
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body is incomplete; send all of it") from error


def parsed(model: type[Model], body: bytes) -> Model:
    """A model of JSON.

    Raises:
        RequestValidationError: it does not fit; says where and why.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error
