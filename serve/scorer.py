"""A queue of jobs: those that wait at the same time are scored together."""

from __future__ import annotations

import asyncio
from collections import deque

from serve.scoring import Job, Scored, score

MAX_USERS_PER_ROUND = 4096  # a longer queue is answered in several rounds


class Scorer:
    """A queue that scores all of its jobs in one round, without waiting for more.

    A round runs in the event loop itself: it is short, and a separate thread would only compete with the
    loop for the interpreter. A single request costs one run of the feature SQL; requests that arrive
    during that run share the next one. So the service becomes more efficient when it is busier.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Job, asyncio.Future[Scored]]] = deque()

    async def score(self, job: Job) -> Scored:
        """Score a job's users.

        Raises:
            ServiceError: the features of a user cannot be computed, or the snapshot lacks a user.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Scored] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._settle, loop, 0)
        self._waiting.append((job, answer))
        return await answer

    def _settle(self, loop: asyncio.AbstractEventLoop, before: int) -> None:
        """Start the round once the loop has handed over all requests that it has received."""
        if len(self._waiting) > before and len(self._waiting) < MAX_USERS_PER_ROUND:
            loop.call_soon(self._settle, loop, len(self._waiting))
        else:
            self._round(loop)

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        taken, size = [], 0
        while self._waiting and size < MAX_USERS_PER_ROUND:
            job, answer = self._waiting.popleft()
            if not answer.done():  # it is done if the caller has gone
                taken.append((job, answer))
                size += job.size
        if self._waiting:
            loop.call_soon(self._round, loop)
        try:
            results = score([job for job, _ in taken])
        except Exception as error:  # noqa: BLE001 - every waiting request must get it
            for _, answer in taken:
                answer.set_exception(error)
            return
        for (_, answer), scored in zip(taken, results, strict=True):
            if isinstance(scored, Exception):
                answer.set_exception(scored)
            else:
                answer.set_result(scored)
