"""Dependencies of the endpoints."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from serve.errors import RequestError, shown
from serve.following import Follower
from serve.release import Release
from serve.telemetry import Telemetry

# All are coroutines: FastAPI would run a plain function in a thread, which costs as much as an answer.


async def get_follower(request: Request) -> Follower:
    """Return the application's follower."""
    follower: Follower = request.app.state.follower
    return follower


async def newest(follower: Follower) -> Release:
    """Return the newest release that could be loaded; loading one does not block the event loop."""
    loaded = follower.loaded()
    return loaded if loaded is not None else await run_in_threadpool(follower.current)


async def get_release(request: Request) -> Release:
    """Return the release that this request is answered from, from start to end."""
    return await newest(request.app.state.follower)


async def get_telemetry(request: Request) -> Telemetry:
    """Return the application's metrics."""
    telemetry: Telemetry = request.app.state.telemetry
    return telemetry


CurrentFollower = Annotated[Follower, Depends(get_follower)]
CurrentRelease = Annotated[Release, Depends(get_release)]
CurrentTelemetry = Annotated[Telemetry, Depends(get_telemetry)]


async def only_known_parameters(request: Request) -> None:
    """Refuse a query parameter that the route does not know: a misspelt filter must not be ignored.

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
