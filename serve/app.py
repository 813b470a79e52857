"""The application: ``uvicorn serve.app:from_environment --factory``."""

from __future__ import annotations

import gc
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline

from serve import problems
from serve.decision_log import DecisionLog
from serve.dependencies import only_known_parameters
from serve.errors import UnavailableError
from serve.following import Follower
from serve.guard import Guard
from serve.routes import (
    batch,
    evidence,
    explain,
    health,
    lists,
    models,
    policy,
    realised,
    rules,
    score,
    suppressions,
)
from serve.schemas.requests import BatchRequest
from serve.scorer import Scorer
from serve.settings import Settings
from serve.telemetry import Telemetry
from serve.watching import Watch

SEPARATOR = re.compile(r"\W+")  # between the words of a path; the words name the operation in clients


def create_app(settings: Settings) -> FastAPI:
    """Create an application that answers from what is published below ``settings.home``."""
    telemetry = Telemetry(DecisionLog.of(settings), log_user_ids=settings.log_user_ids)
    follower, scorer = Follower(settings, telemetry), Scorer()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        # Load before the first request arrives; if nothing is published, answers to requests say so.
        with suppress(UnavailableError):
            await run_in_threadpool(follower.current)
        # What is loaded stays: without this the garbage collector walks through it, 100 ms each time.
        gc.collect()
        gc.freeze()
        gc.enable()
        watch = Watch(settings, follower)
        watch.start()
        try:
            yield
        finally:
            await run_in_threadpool(watch.stop)

    app = FastAPIOffline(  # serves the documentation's scripts itself, without a public server
        title="Uplift engine",
        summary="Whom does a treatment change, and who is treated within a budget?",
        version="1",
        lifespan=lifespan,
        generate_unique_id_function=lambda route: SEPARATOR.sub("_", route.path).strip("_"),
    )
    app.state.settings = settings
    app.state.follower, app.state.scorer, app.state.telemetry = follower, scorer, telemetry
    app.state.batches = CapacityLimiter(batch.MAX_CONCURRENT)
    for routes in (
        *(score, batch, explain, policy, evidence, rules, lists, realised, models, suppressions, health),
    ):
        app.include_router(routes.router, dependencies=[Depends(only_known_parameters)])
    app.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)
    problems.install(app)
    problems.describe(app, BatchRequest)
    app.add_middleware(Guard, settings=settings, telemetry=telemetry)
    return app


def from_environment() -> FastAPI:
    """Create the application that the environment (``UPLIFT_*``) describes; uvicorn's factory."""
    return create_app(Settings())
