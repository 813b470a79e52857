"""Errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from serve.errors import ServiceError, shown

OPEN = frozenset({"/healthz", "/readyz"})  # need no key: probes have none
MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20  # that an answer lists of one request
LOG = logging.getLogger(__name__)


class Problem(BaseModel):
    """The body of every error answer."""

    type: str = "about:blank"  # the status is the type
    title: str
    status: int
    detail: str


class ProblemError(ServiceError):
    """A refusal with a given status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = int(status)


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Refer to a model in the OpenAPI description; ``describe`` puts the model there."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Describe these statuses for the OpenAPI description."""
    content = {MEDIA_TYPE: {"schema": reference(Problem)}}
    return {int(status): {"description": status.phrase, "content": content} for status in statuses}


COMMON = responses(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)


def describe(app: FastAPI, *models: type[BaseModel]) -> None:
    """Complete the OpenAPI description: all routes but the probes take a key, and ``models`` are named.

    FastAPI knows neither problems nor ``models``, which routes that read their bodies themselves use.
    """
    plain = app.openapi

    def described() -> dict[str, Any]:
        description = plain()
        components = description.setdefault("components", {})
        if "securitySchemes" in components:
            return description  # FastAPI caches it, and it is completed already
        components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        all_models: tuple[type[BaseModel], ...] = (Problem, *models)
        components["schemas"] |= {model.__name__: _schema(model) for model in all_models}
        for path, methods in description["paths"].items():
            for operation in methods.values():
                operation["security"] = [] if path in OPEN else [{"key": []}]
        return description

    app.openapi = described  # type: ignore[method-assign]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a model as FastAPI would: an optional field does not have the default null."""
    schema = model.model_json_schema()
    for field in schema["properties"].values():
        if field.get("default", "") is None:
            del field["default"]
    return schema


def answer(status: int, detail: str) -> JSONResponse:
    """Make a response of a problem."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status_code=status, media_type=MEDIA_TYPE)


def _service_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    status = error.status if isinstance(error, ServiceError) else HTTPStatus.INTERNAL_SERVER_ERROR
    return answer(status, str(error))


def _validation_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    items = error.errors() if isinstance(error, RequestValidationError) else []
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, _readable(items))


def _http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return _unexpected_error(request, error)
    status = HTTPStatus(error.status_code)
    where = f"{request.method} {shown(request.url.path)}"
    response = answer(status, f"{where}: {error.detail}")
    response.headers.update(error.headers or {})
    return response


def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error; the service's log says why")


# pydantic's error types -> what the sender must do; other texts come from this project's validators.
MEANINGS = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "string_type": "must be a text",
    "string_unicode": "must be a text without halves of characters",
    "string_too_long": "must be a text of at most {max_length} characters",
    "string_pattern_mismatch": "must be a text of digits",
    "dict_type": "must be an object",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length} entry",
}


def _readable(items: Sequence[Any]) -> str:
    lines = [_line(item) for item in items[:MAX_ERRORS]]
    if len(items) > MAX_ERRORS:
        lines.append(f"and {len(items) - MAX_ERRORS} more")
    return "; ".join(lines)


NUMBER_TAG, TEXT_TAG = "<number>", "<text>"  # of the forms that one field may have
NO_NAMES = ("body", NUMBER_TAG, TEXT_TAG)  # parts of a place that are no field


def _line(item: dict[str, Any]) -> str:
    path = [str(part) for part in item["loc"] if part not in NO_NAMES]
    field = shown(".".join(path))[1:-1] if path else "body"
    kind, value = item["type"], item["input"]
    if kind == "json_invalid":
        return "body: not valid JSON"
    if isinstance(value, bytes):  # for example by curl, which sends a form by default
        return "body: not sent as JSON; set the header Content-Type: application/json"
    if kind == "missing":
        return f"{field}: missing; send it" if path else "body: missing; send a JSON object"
    if kind == "extra_forbidden":
        return f"{field}: unknown; remove it or correct its spelling"
    if kind == "value_error":  # raised by a model of this project, which says the remedy
        return f"{field}: {item['ctx']['error']}"
    meaning = MEANINGS.get(kind)
    limits = {name: f"{v:g}" if isinstance(v, float) else v for name, v in item.get("ctx", {}).items()}
    remedy = meaning.format(**limits) if meaning else item["msg"]
    return f"{field} = {shown(value)}: {remedy}"
