"""Request bodies: the time limit of each, the memory limit of all, and the queue of the large ones.

A body that is still arriving takes memory, but no place in the queue: it joins once it is complete.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

from granian.rsgi import HTTPProtocol, ProtocolClosed  # type: ignore[attr-defined]  # one is of its compiled part

from leadscore.errors import ServerBusy
from serving.api.problems import CODES, Refusal, refusal_of

# time limit of a body, from its first byte to its last
BODY_SECONDS = 10.0
# memory limit of a process's large bodies, arriving and queued; a larger MAX_BODY_BYTES raises it
MAX_HELD_BYTES = 128_000_000
# large bodies that are processed at a time: one is scored without Python's lock while the other's JSON is read or
# written; more would only evict each other's data from the processor's caches
LARGE_AT_A_TIME = 2
# of the threads that process them, so that small requests go first: beside large bodies, the slowest 1 % of the
# predictions take 1.9 times as long as alone, in place of 2.6 times. A thread that holds Python's lock must not starve:
# with 10, beside a busy process in the server's own scheduling group, a batch took 2 s in place of 0.3 s
LARGE_NICENESS = 5
# how long a complete body may wait in the queue, and how many bodies may
TURN_SECONDS = 10.0
MAX_WAITING = 100
# the `Retry-After` of a refusal: by then, every body that is queued now has had its turn
BUSY_RETRY_SECONDS = 10

Task = asyncio.Task[Any]


class Bodies:
    """The bodies that one process is receiving, and the queue of the large ones.

    One periodic check of all bodies costs less than a timer for each.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_held_bytes = max(MAX_HELD_BYTES, max_body_bytes)
        # when each body began to arrive, the oldest first
        self._began_seconds: dict[Task, float] = {}
        # the large bodies that are arriving, and the bytes that they and the queued ones hold
        self._coming: dict[Task, _LargeBody] = {}
        self._held_bytes = 0
        self._turns, self._waiting = asyncio.Semaphore(LARGE_AT_A_TIME), 0

    async def receive(self, protocol: HTTPProtocol) -> Any:
        """Return a small body as a file; if it is late, return a file whose `read` raises Refusal 408."""
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
        """Receive a large body, wait for its turn, and yield it as a file; the turn ends with the context.

        Raises Refusal 408 when the body is late, 503 when the server is too busy for it.
        """
        body = _LargeBody()
        try:
            await self._receive_large(protocol, body, byte_count)
            content = body.whole()
            await self._take_turn()
        finally:
            self._held_bytes -= body.discard()
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
        """Add a part to a body. While all bodies exceed the memory limit, give up the arriving one that holds most.

        So a stalled body of millions of bytes is given up before a batch of some hundred thousand. Its further parts
        are read and discarded: closing the connection while its client sends would lose the answer.
        """
        if body.is_given_up:
            return
        body.add(part)
        self._held_bytes += len(part)
        while self._held_bytes > self._max_held_bytes:
            largest = max(self._coming.values(), key=_LargeBody.size)
            largest.is_given_up = True
            self._held_bytes -= largest.discard()

    async def _take_turn(self) -> None:
        """Wait until another large body may be processed. Raises Refusal 503."""
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
        """Stop receiving the bodies that have taken longer than BODY_SECONDS."""
        late_seconds = time.monotonic() - BODY_SECONDS
        for task, began_seconds in list(self._began_seconds.items()):
            if began_seconds > late_seconds:
                break
            del self._began_seconds[task]
            task.cancel()

    def _take_back(self, task: Task) -> None:
        """Undo the cancellation of a task whose body is late. Raises CancelledError when it had another reason."""
        if task in self._began_seconds:
            raise asyncio.CancelledError
        task.uncancel()


def large_threads() -> ThreadPoolExecutor:
    """Return the threads that process large bodies."""
    return ThreadPoolExecutor(LARGE_AT_A_TIME, thread_name_prefix="large-request", initializer=_give_way)


def _give_way() -> None:
    """Lower the priority of the present thread. Only Linux has one for each thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # where it is forbidden, all have one priority
            os.setpriority(os.PRIO_PROCESS, thread, max(LARGE_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


class _LargeBody:
    """The part of a large body that has arrived."""

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
        """Return all bytes that have arrived."""
        self._parts = [b"".join(self._parts)]
        return self._parts[0]

    def discard(self) -> int:
        """Discard the bytes that have arrived, and return their number."""
        byte_count, self._byte_count, self._parts = self._byte_count, 0, []
        return byte_count


class Unread:
    """Stands for a body that was not received."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal

    def read(self, _size: int = -1) -> bytes:
        """Raise the refusal."""
        raise self._refusal


def _late() -> Refusal:
    return Refusal(408, "request_timeout", CODES["request_timeout"], headers={"Connection": "close"})


def _busy() -> Refusal:
    return refusal_of(ServerBusy(), headers={"Connection": "close", "Retry-After": str(BUSY_RETRY_SECONDS)})
