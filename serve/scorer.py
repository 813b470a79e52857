"""Requests that wait together are scored together."""

from __future__ import annotations

import asyncio
from collections import deque

from serve.scoring import Job, Scored, score

MOST = 4096  # users in one round, so that a long queue is answered bit by bit


class Scorer:
    """Answers all that is queued in one round, without waiting for more.

    A round runs in the event loop itself: it is short, and a thread of its own would only compete with
    the loop for the interpreter. Alone, a request costs one run of the feature SQL; requests that come
    in while that runs share the next. The service gets more efficient the busier it is.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Job, asyncio.Future[Scored]]] = deque()

    async def score(self, job: Job) -> Scored:
        """Scores of a job's users.

        Raises:
            ServiceError: no feature can be computed of some user, or the snapshot lacks one.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Scored] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._settle, loop, 0)
        self._waiting.append((job, answer))
        return await answer

    def _settle(self, loop: asyncio.AbstractEventLoop, before: int) -> None:
        """Start the round once the loop has handed over all that it has already received."""
        if len(self._waiting) > before and len(self._waiting) < MOST:
            loop.call_soon(self._settle, loop, len(self._waiting))
        else:
            self._round(loop)

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        taken, size = [], 0
        while self._waiting and size < MOST:
            job, answer = self._waiting.popleft()
            if not answer.done():  # or the caller is gone
                taken.append((job, answer))
                size += job.size
        if self._waiting:
            loop.call_soon(self._round, loop)
        try:
            found = score([job for job, _ in taken])
        except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
            for _, answer in taken:
                answer.set_exception(error)
            return
        for (_, answer), scored in zip(taken, found, strict=True):
            if isinstance(scored, Exception):
                answer.set_exception(scored)
            else:
                answer.set_result(scored)
