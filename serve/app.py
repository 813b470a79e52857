"""The application: ``uvicorn serve.app:from_environment --factory``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from serve import problems
from serve.errors import UnavailableError
from serve.following import Follower
from serve.routes import health, score
from serve.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """An application that answers from what is published below ``settings.home``."""
    follower = Follower(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        # Load before the first request waits for it; if nothing is published, requests say so.
        with suppress(UnavailableError):
            await run_in_threadpool(follower.current)
        yield

    app = FastAPI(
        title="Uplift engine",
        summary="Whom does a treatment change, and who is treated within a budget?",
        lifespan=lifespan,
    )
    app.state.follower = follower
    app.include_router(score.router)
    app.include_router(health.router)
    problems.install(app)
    return app


def from_environment() -> FastAPI:
    """The application as the environment (``UPLIFT_*``) sets it up; uvicorn's factory."""
    return create_app(Settings())
