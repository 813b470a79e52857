"""Ask a server of a container whether it is well: ``python -m serve.health_check URL``.

The arguments hold no spaces or quotes, of which podman-compose before 1.1 makes another command.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

LIMIT = 4  # seconds


def main() -> int:
    """Return the exit code: 0 if the address answers with success in time."""
    (address,) = sys.argv[1:]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=LIMIT):
            return 0
    except (urllib.error.URLError, TimeoutError) as error:
        sys.stderr.write(f"{address}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
