"""One thread that scores what is queued: requests that wait together are scored together."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence

from serve.scoring import Job, Scored, score

MOST = 4096  # users in one round, so that a long queue is answered bit by bit
_Waiting = tuple[Job, "asyncio.Future[Scored]", asyncio.AbstractEventLoop]


class Scorer:
    """Takes what is queued, without waiting for more, and answers all of it in one round.

    Alone, a request costs one run of the feature SQL; while that runs, others queue up and share the
    next. The service gets more efficient the busier it is.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is queued, then end."""
        self._queue.put(None)
        self._thread.join()

    async def score(self, job: Job) -> Scored:
        """Scores of a job's users.

        Raises:
            ServiceError: no feature can be computed of some user, or the snapshot lacks one.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Scored] = loop.create_future()
        self._queue.put((job, answer, loop))
        return await answer

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting = [first]
            size, ended = first[0].size, False
            while size < MOST and not self._queue.empty():
                another = self._queue.get()
                if another is None:
                    ended = True
                    break
                waiting.append(another)
                size += another[0].size
            self._answer(waiting)
            if ended:
                return

    def _answer(self, waiting: Sequence[_Waiting]) -> None:
        found: Sequence[Scored | Exception]
        try:
            found = score([job for job, _, _ in waiting])
        except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
            found = [error] * len(waiting)
        loop = waiting[0][2]
        loop.call_soon_threadsafe(
            _deliver, [(answer, one) for (_, answer, _), one in zip(waiting, found, strict=True)]
        )


def _deliver(answers: Sequence[tuple[asyncio.Future[Scored], Scored | Exception]]) -> None:
    for future, found in answers:
        if future.done():  # the caller is gone
            continue
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)
