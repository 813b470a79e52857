"""``python -m serve --port 8000``: the API under uvicorn, whose options it takes."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

import click
from fastapi import FastAPI
from uvicorn.main import main as run_uvicorn

from uplift_core.boosting.without_scikit_learn import import_xgboost
from uplift_core.leaving import leave

APP = ("serve.__main__:application", "--factory")
PROTOCOL = "serve.slow_clients:ImpatientProtocol"


def application() -> FastAPI:
    """Create the application in this process, which is a worker's where there are several."""
    gc.disable()  # until all is loaded: it would walk through all that is new, again and again
    import_xgboost()  # before the application's modules do
    from serve.app import from_environment  # noqa: PLC0415

    return from_environment()


def main(arguments: list[str]) -> NoReturn:
    """Run the API until Ctrl-C ends it, and then leave at once."""
    (http,) = (option for option in run_uvicorn.params if option.name == "http")
    http.type, http.default = click.STRING, PROTOCOL  # uvicorn's command offers its own protocols only
    run_uvicorn([*APP, *arguments], standalone_mode=False)  # an API that cannot start exits with 3
    leave(0)


if __name__ == "__main__":
    main(sys.argv[1:])
