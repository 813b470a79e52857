"""``python -m serve --port 8000``: the API under uvicorn, whose options it takes."""

from __future__ import annotations

import sys
from typing import NoReturn

from uvicorn.main import main as run_uvicorn

from uplift_core.leaving import leave

APP = ("serve.app:from_environment", "--factory")


def main(arguments: list[str]) -> NoReturn:
    """Run the API until Ctrl-C ends it, and then leave at once."""
    run_uvicorn([*APP, *arguments], standalone_mode=False)  # an API that cannot start exits with 3
    leave(0)


if __name__ == "__main__":
    main(sys.argv[1:])
