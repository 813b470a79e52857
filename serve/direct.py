"""Routes that are described by FastAPI and run without most of it."""

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
from serve.problems import MOST_ERRORS


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request and its body, a model, and makes the response itself.

    It is described as any other and refuses the same bodies. What FastAPI's own handler does for each
    request besides, above all for dependencies, costs as much as the request's share of the scoring.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        endpoint = self.endpoint
        model = self.body_field.field_info.annotation if self.body_field else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"{self.path}: its endpoint takes no body that is a model")

        async def handle(request: Request) -> Response:
            try:
                sent = _cut_short(await _json(request), model)
                asked = model.model_validate(sent, from_attributes=True)
            except ValidationError as error:
                raise RequestValidationError(error.errors(include_url=False)) from error
            response: Response = await endpoint(request, asked)
            return response

        return handle


def _cut_short(sent: object, model: type[BaseModel]) -> object:
    """What was sent without most of its unknown members: each would cost an error that nobody reads."""
    if not isinstance(sent, dict) or len(sent) <= len(model.model_fields) + MOST_ERRORS:
        return sent
    known = {name: value for name, value in sent.items() if name in model.model_fields}
    unknown = (item for item in sent.items() if item[0] not in model.model_fields)
    return known | dict(islice(unknown, MOST_ERRORS))


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
        # No UTF-8, a number or a nesting without end, or a caller who left.
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body cannot be parsed") from error
