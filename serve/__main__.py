"""``python -m serve --port 8000``: the API under uvicorn, whose options it takes."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from uvicorn.main import main as run_uvicorn

APP = ("serve.app:from_environment", "--factory")


def main(arguments: list[str]) -> NoReturn:
    """Run the API until Ctrl-C ends it, and then leave at once.

    In the interpreter's usual end DuckDB prints dozens of lines about objects that are still in use, as
    if something had gone wrong.
    """
    run_uvicorn([*APP, *arguments], standalone_mode=False)  # an API that cannot start exits with 3
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
