"""Send damaged Arrow streams to a running API, which must neither crash nor answer 500.

    python -m bench.fuzz_arrow --home HOME [--tries 20000] [--seed 1] [--keep FOLDER]

HOME is a home where an experiment is published (``make run``). Streams that clients write, and some that
no client should write, are damaged at random: bits, offsets, lengths, sizes before compression, order of
messages. The API is a separate process, so that a crash is noticed. A stream that fails is stored under
its number; the same seed gives the same streams.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx

from bench.servers import api_on, memory
from bench.streams import crashing_stream, damaged, odd_streams, valid_streams

ARROW = "application/vnd.apache.arrow.stream"
EXPECTED = {200, 413, 422}
GROWTH = 200.0  # MiB by which memory may grow


def main() -> int:
    """Send all streams and print the answers. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--experiment", default="hillstrom")
    parser.add_argument("--tries", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the streams that failed")
    chosen = parser.parse_args()
    with api_on(chosen.home) as (url, process), httpx.Client(trust_env=False, timeout=60) as client:
        target = {"experiment": chosen.experiment}
        user = client.get(f"{url}/features", params=target).raise_for_status().json()["example"]
        streams = valid_streams(user)
        odd = [*odd_streams(user).values(), crashing_stream(user)]
        begin = [*streams * 3, *odd]  # most are nearly valid, since these are processed furthest
        statuses: Counter[int] = Counter()
        failures, slowest, started, before = [], 0.0, time.monotonic(), 0.0
        for number in range(-len(begin), chosen.tries):
            rng = random.Random(f"{chosen.seed}/{number}")  # noqa: S311 - to be repeated
            body = begin[number] if number < 0 else damaged(begin, rng)
            sent = time.perf_counter()
            try:
                answer = client.post(
                    f"{url}/score/batch", params=target, content=body, headers={"content-type": ARROW}
                )
            except httpx.TransportError as error:  # after a 500 the connection is closed, too
                failures.append(f"{number}: {error!r}, the API's exit code is {_exit_code(process)}")
                _keep(chosen.keep, number, body)
                if process.poll() is not None:
                    break
                continue
            slowest = max(slowest, time.perf_counter() - sent)
            statuses[answer.status_code] += 1
            if answer.status_code not in EXPECTED:
                failures.append(f"{number}: {answer.status_code}")
                _keep(chosen.keep, number, body)
            if number == 0:
                before = memory(process)[0]
        seconds = time.monotonic() - started
        if process.poll() is None:
            after, most = memory(process)
            print(f"memory: {before:.0f} MiB before, {after:.0f} MiB after, {most:.0f} MiB at most")
            if after > before + GROWTH:
                failures.append(f"{after - before:.0f} MiB of memory have stayed")
    print(
        f"{statuses.total()} streams in {seconds:.0f} s: answers {dict(sorted(statuses.items()))}, "
        f"slowest {1000 * slowest:.0f} ms, {len(failures)} failures"
    )
    for failure in failures[:20]:
        print(f"  {failure}")
    return 1 if failures else 0


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Return a process's exit code, or None if it does not end within a second."""
    try:
        return process.wait(1)
    except subprocess.TimeoutExpired:
        return None


def _keep(folder: Path | None, number: int, body: bytes) -> None:
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.arrow").write_bytes(body)


if __name__ == "__main__":
    sys.exit(main())
