"""What endpoints are given."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from serve.errors import RequestError, shown
from serve.following import Follower
from serve.release import Release
from serve.telemetry import Telemetry

# All are coroutines: FastAPI would run plain functions in a thread each, at the price of the answer.


async def get_follower(request: Request) -> Follower:
    """The application's follower."""
    follower: Follower = request.app.state.follower
    return follower


async def newest(follower: Follower) -> Release:
    """The newest release that could be loaded; the loop goes on while somebody loads one."""
    held = follower.held()
    return held if held is not None else await run_in_threadpool(follower.current)


async def get_release(request: Request) -> Release:
    """The release that this request is answered from, start to end."""
    return await newest(request.app.state.follower)


async def get_telemetry(request: Request) -> Telemetry:
    """The application's metrics."""
    telemetry: Telemetry = request.app.state.telemetry
    return telemetry


CurrentFollower = Annotated[Follower, Depends(get_follower)]
CurrentRelease = Annotated[Release, Depends(get_release)]
CurrentTelemetry = Annotated[Telemetry, Depends(get_telemetry)]


async def only_known_parameters(request: Request) -> None:
    """Refuse a query that names what the route does not know: a misspelt filter must not be ignored.

    Raises:
        RequestError: names the parameter and the known ones.
    """
    if not request.scope["query_string"]:
        return
    path = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    known = [p["name"] for p in path.get("parameters", ()) if p["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            remedy = f" or correct its spelling: {', '.join(known)}" if known else ", none is taken here"
            raise RequestError(f"query: {shown(name)} is not known; remove it{remedy}")
