"""The bodies of requests on their way: how long each may take, how much all may hold, and whose turn it is.

A body holds nothing but its bytes while it comes. Only one that is whole waits for its turn to be computed with.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from granian.rsgi import HTTPProtocol, ProtocolClosed  # type: ignore[attr-defined]  # one is of its compiled part

from leadscore.errors import ServerBusy
from serving.api.problems import CODES, Refusal, refusal_of

# how long a body may take from its first byte to its last
BODY_SECONDS = 10.0
# how much all large bodies of a process hold together, those that come and those that wait; one that alone may hold
# more (MAX_BODY_BYTES) may do so
MAX_HELD_BYTES = 128_000_000
# so many large bodies are computed with at a time: one is scored without Python's lock while the other's JSON is read
# or written, and more would only push each other's data out of the processor's caches
LARGE_AT_A_TIME = 2
# how long a whole body waits for its turn, and how many wait
TURN_SECONDS = 10.0
MAX_WAITING = 100
# what a client is asked to wait before it tries again: by then those that wait now have had their turns
BUSY_RETRY_SECONDS = 10

Task = asyncio.Task[Any]


class Bodies:
    """The bodies that are on their way to one process, and the large ones that wait for their turn.

    One look at all of them takes less than a timer for each.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_held_bytes = max(MAX_HELD_BYTES, max_body_bytes)
        # when each began, the oldest first
        self._began_seconds: dict[Task, float] = {}
        # the large ones that come, and what they and those that wait hold together
        self._coming: dict[Task, _LargeBody] = {}
        self._held_bytes = 0
        self._turns, self._waiting = asyncio.Semaphore(LARGE_AT_A_TIME), 0

    async def receive(self, protocol: HTTPProtocol) -> Any:
        """Return a body that is not large as a file; when it does not come, one whose reading is refused."""
        task: Any = asyncio.current_task()
        self._began_seconds[task] = time.monotonic()
        try:
            return io.BytesIO(await protocol())
        except asyncio.CancelledError:
            self._take_back(task)
            return Unread(_late())
        finally:
            self._began_seconds.pop(task, None)

    @asynccontextmanager
    async def turn(self, protocol: HTTPProtocol, byte_count: int) -> AsyncIterator[Any]:
        """Receive a large body, wait for its turn, and give it as a file; the turn ends with the context.

        Raises Refusal 408 when it does not come in time, 503 when the server is too busy for it.
        """
        body = _LargeBody()
        try:
            await self._receive_large(protocol, body, byte_count)
            content = body.whole()
            await self._take_turn()
        finally:
            self._held_bytes -= body.let_go()
        try:
            yield io.BytesIO(content)
        finally:
            self._turns.release()

    async def _receive_large(self, protocol: HTTPProtocol, body: _LargeBody, byte_count: int) -> None:
        task: Any = asyncio.current_task()
        self._began_seconds[task], self._coming[task] = time.monotonic(), body
        try:
            async for part in protocol:
                self._hold(body, part)
        except asyncio.CancelledError:
            self._take_back(task)
            raise (_busy() if body.is_given_up else _late()) from None
        finally:
            self._began_seconds.pop(task, None)
            del self._coming[task]
        if body.is_given_up:
            raise _busy()
        if body.size() < byte_count:
            raise ProtocolClosed

    def _hold(self, body: _LargeBody, part: bytes) -> None:
        """Add what came to a body. When all hold too much, the one that holds most of it is given up.

        So a stalled body of millions of bytes goes before a batch of some hundred thousand. What still comes of it is
        thrown away: a connection that is closed while its client sends loses the answer.
        """
        if body.is_given_up:
            return
        body.add(part)
        self._held_bytes += len(part)
        while self._held_bytes > self._max_held_bytes:
            largest = max(self._coming.values(), key=_LargeBody.size)
            largest.is_given_up = True
            self._held_bytes -= largest.let_go()

    async def _take_turn(self) -> None:
        """Wait until a large body may be computed with. Raises Refusal 503."""
        if self._waiting >= MAX_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1

    def give_up_late(self) -> None:
        """Stop waiting for the bodies that have had their time."""
        late_seconds = time.monotonic() - BODY_SECONDS
        for task, began_seconds in list(self._began_seconds.items()):
            if began_seconds > late_seconds:
                break
            del self._began_seconds[task]
            task.cancel()

    def _take_back(self, task: Task) -> None:
        """Let a task go on that was cancelled because its body is late. Raises CancelledError when it is to end."""
        if task in self._began_seconds:
            raise asyncio.CancelledError
        task.uncancel()


class _LargeBody:
    """What came of a large body."""

    def __init__(self) -> None:
        self.is_given_up = False
        self._parts: list[bytes] = []
        self._byte_count = 0

    def size(self) -> int:
        return self._byte_count

    def add(self, part: bytes) -> None:
        self._parts.append(part)
        self._byte_count += len(part)

    def whole(self) -> bytes:
        """Return all that came."""
        self._parts = [b"".join(self._parts)]
        return self._parts[0]

    def let_go(self) -> int:
        """Forget what came, and return how many bytes that were."""
        byte_count, self._byte_count, self._parts = self._byte_count, 0, []
        return byte_count


class Unread:
    """A body that was not received."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal

    def read(self, _size: int = -1) -> bytes:
        """Raise the refusal of the request."""
        raise self._refusal


def _late() -> Refusal:
    return Refusal(408, "request_timeout", CODES["request_timeout"], headers={"Connection": "close"})


def _busy() -> Refusal:
    return refusal_of(ServerBusy(), headers={"Connection": "close", "Retry-After": str(BUSY_RETRY_SECONDS)})
