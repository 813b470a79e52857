"""Start compose.yaml for real, run the simulated experiment in it, check the services, and end it.

    python -m bench.containers [--compose "podman-compose"] [--no-build]

Needs podman and a compose command. What is checked is what docs/containers.md says: each service is
well by its own health check, the API answers from what the run published, the app reaches the API by its
name, and services run without capabilities, as a common account, on a root that nobody can write.
The containers and their volume are removed at the end. Other work on ports 3000, 8000 and 8501 must end
before.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = "upliftcheck"
SERVICES = ("webserver", "daemon", "api", "app")
PATIENCE = 240  # seconds until a service must be well
LOOK = (
    "import os, urllib.request as u; "
    "print('uid', os.getuid()); "
    "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff'))); "
    "print('root', 'writable' if os.access('/opt', os.W_OK) else 'read-only'); "
    "print(u.urlopen('http://api:8000/readyz', timeout=9).read().decode())"
)


def called(command: Sequence[str]) -> tuple[int, str]:
    """Run a command in the checkout; return its exit code and what it printed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - own commands
    return done.returncode, done.stdout + done.stderr


def becomes_well(service: str) -> float | None:
    """Return the seconds until a service's health check passes; None if it does not."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if called(["podman", "healthcheck", "run", f"{PROJECT}_{service}_1"])[0] == 0:
            return time.monotonic() - began
        time.sleep(2)
    return None


def main() -> int:
    """Print what is so. Return the exit code: 1 if something is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--compose", default="podman-compose")
    parser.add_argument("--no-build", action="store_true", help="take the image 'uplift' that is there")
    chosen = parser.parse_args()
    compose = [*shlex.split(chosen.compose), "-p", PROJECT]
    if not chosen.no_build:
        code, shown = called(["podman", "build", "--format", "docker", "-t", "uplift", "."])
        if code:
            print(shown[-2000:])
            return 1
    try:
        code, shown = called([*compose, "up", "-d"])
        return code or int(not check(compose))
    finally:
        called([*compose, "down", "-v"])
        called(["podman", "volume", "rm", f"{PROJECT}_home"])


def check(compose: Sequence[str]) -> bool:
    """Print and return whether the composition does what it must."""
    well = True
    for service in SERVICES:
        seconds = becomes_well(service)
        print(f"{service}: " + ("not well" if seconds is None else f"well after {seconds:.0f} s"))
        well &= seconds is not None
    began = time.monotonic()
    code, shown = called([*compose, "exec", "daemon", "uplift", "run", "simulated"])
    published = "Whom to treat" in shown
    print(
        f"uplift run simulated: {'published' if published else shown[-2000:]}, code {code}, "
        f"{time.monotonic() - began:.0f} s"
    )
    until = time.monotonic() + PATIENCE
    while True:
        _, shown = called(["podman", "exec", f"{PROJECT}_app_1", "python", "-c", LOOK])
        if '"ready"' in shown or time.monotonic() > until:
            break
        time.sleep(2)
    print(shown.strip())
    closed = "uid 10001" in shown and "0000000000000000" in shown and "root read-only" in shown
    return well and published and closed and '"ready"' in shown


if __name__ == "__main__":
    sys.exit(main())
