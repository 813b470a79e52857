"""A faster class of routes: FastAPI documents them, but its dependency machinery does not run."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from itertools import islice
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serve.errors import RequestError
from serve.problems import MAX_ERRORS


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request and its body (a model), and makes the response itself.

    Its description is like that of any other route, and it refuses the same bodies. The other work of
    FastAPI's handler, above all for dependencies, costs as much as one request's share of the scoring.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers a request."""
        endpoint = self.endpoint
        model = self.body_field.field_info.annotation if self.body_field else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"{self.path}: the endpoint must take a body that is a model")

        async def handle(request: Request) -> Response:
            try:
                sent = _cut_short(await _json(request), model)
                validated = model.model_validate(sent, from_attributes=True)
            except ValidationError as error:
                raise RequestValidationError(error.errors(include_url=False)) from error
            response: Response = await endpoint(request, validated)
            return response

        return handle


def _cut_short(sent: object, model: type[BaseModel]) -> object:
    """Drop most of the unknown members: each would cost an error that nobody reads."""
    if not isinstance(sent, dict) or len(sent) <= len(model.model_fields) + MAX_ERRORS:
        return sent
    known = {name: value for name, value in sent.items() if name in model.model_fields}
    unknown = (item for item in sent.items() if item[0] not in model.model_fields)
    return known | dict(islice(unknown, MAX_ERRORS))


async def _json(request: Request) -> object:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise RequestError("body: not sent as JSON; set the header Content-Type: application/json")
    try:
        body = await request.body()
        if not body:
            raise RequestError("body: missing; send a JSON object")
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise RequestError("body: not valid JSON") from error
    except (
        ValueError,
        RecursionError,
        ClientDisconnect,
    ) as error:
        # Not UTF-8, a number with too many digits, nested too deeply, or the caller has gone.
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body cannot be parsed") from error
