"""Large bodies: one that comes holds its bytes alone, one that is whole waits for a turn, and both have bounds."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from granian.rsgi import ProtocolClosed

from serving.api.problems import Refusal
from serving.server import bodies
from serving.server.bodies import LARGE_AT_A_TIME, Bodies

PART_BYTES = 100


class Sender:
    """A client that sends a body in parts, and stalls before the next until it is told to go on."""

    def __init__(self, parts: int) -> None:
        self._parts, self._may_send = parts, asyncio.Semaphore(0)
        self.is_closed = False

    def send(self, parts: int) -> None:
        for _ in range(parts):
            self._may_send.release()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._parts):
            await self._may_send.acquire()
            if self.is_closed:
                return
            yield b"x" * PART_BYTES


async def computed(all_bodies: Bodies, sender: Any, parts: int, until: asyncio.Event | None = None) -> int | str:
    """Return the size of the body that is computed with, or the code of the refusal."""
    try:
        async with all_bodies.turn(sender, parts * PART_BYTES) as body:
            if until is not None:
                await until.wait()
            return len(body.read())
    except Refusal as refusal:
        return refusal.code


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_bodies_that_stall_take_no_turn() -> None:
    async def outcome() -> int | str:
        all_bodies = Bodies(10_000)
        stalled = [asyncio.create_task(computed(all_bodies, Sender(10), 10)) for _ in range(50)]
        honest = Sender(3)
        honest.send(3)
        try:
            return await asyncio.wait_for(computed(all_bodies, honest, 3), 5)
        finally:
            for task in stalled:
                task.cancel()

    assert asyncio.run(outcome()) == 3 * PART_BYTES


def test_when_all_hold_too_much_the_body_that_holds_most_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_HELD_BYTES", 10 * PART_BYTES)

    async def outcomes() -> list[int | str]:
        all_bodies, senders = Bodies(PART_BYTES), [Sender(6), Sender(9), Sender(6)]
        tasks = [
            asyncio.create_task(computed(all_bodies, one, parts)) for one, parts in zip(senders, (6, 9, 6), strict=True)
        ]
        for sender, parts in zip(senders, (2, 6, 3), strict=True):
            sender.send(parts)
            await settled()
        assert all_bodies._held_bytes == 5 * PART_BYTES
        for sender, parts in zip(senders, (4, 3, 3), strict=True):
            sender.send(parts)
        found = await asyncio.gather(*tasks)
        assert all_bodies._held_bytes == 0
        return found

    assert asyncio.run(outcomes()) == [600, "server_busy", 600]


def test_one_body_may_be_as_large_as_the_setting_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_HELD_BYTES", PART_BYTES)

    async def outcome() -> int | str:
        sender = Sender(5)
        sender.send(5)
        return await computed(Bodies(5 * PART_BYTES), sender, 5)

    assert asyncio.run(outcome()) == 5 * PART_BYTES


def test_a_body_that_waits_too_long_for_its_turn_or_finds_too_many_waiting_is_told_when_to_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(bodies, "MAX_WAITING", 2)

    async def outcomes() -> list[int | str]:
        all_bodies, end = Bodies(10_000), asyncio.Event()
        tasks = []
        for _ in range(LARGE_AT_A_TIME + 3):
            sender = Sender(1)
            sender.send(1)
            tasks.append(asyncio.create_task(computed(all_bodies, sender, 1, end)))
            await settled()
        refused = [await task for task in (tasks[-1], *tasks[LARGE_AT_A_TIME:-1])]
        end.set()
        found = [*refused, *await asyncio.gather(*tasks[:LARGE_AT_A_TIME])]
        assert all_bodies._held_bytes == all_bodies._waiting == 0
        return found

    assert asyncio.run(outcomes()) == ["server_busy"] * 3 + [PART_BYTES] * LARGE_AT_A_TIME
    assert bodies._busy().status == 503
    assert int(bodies._busy().headers["Retry-After"]) > 0


@pytest.mark.parametrize("parts", [0, 2])
def test_a_large_body_that_is_late_is_given_up(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.0)

    async def outcome() -> int | str:
        all_bodies, sender = Bodies(10_000), Sender(5)
        task = asyncio.create_task(computed(all_bodies, sender, 5))
        sender.send(parts)
        await settled()
        all_bodies.give_up_late()
        return await task

    assert asyncio.run(outcome()) == "request_timeout"


def test_a_client_that_leaves_within_its_body_is_not_answered() -> None:
    async def leave() -> None:
        sender = Sender(5)
        sender.is_closed = True
        sender.send(1)
        await computed(Bodies(10_000), sender, 5)

    with pytest.raises(ProtocolClosed):
        asyncio.run(leave())


@pytest.mark.parametrize("receive", [Bodies.receive, lambda every, sender: every.turn(sender, 500).__aenter__()])
def test_a_task_that_is_cancelled_for_another_reason_ends(receive: Callable[..., Awaitable[Any]]) -> None:
    class Silent(Sender):
        async def __call__(self) -> bytes:
            await asyncio.Event().wait()
            return b""

    async def cancel() -> None:
        task = asyncio.ensure_future(receive(Bodies(10_000), Silent(5)))
        await settled()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())


@pytest.mark.parametrize("niceness", [0, 15])
def test_large_bodies_are_processed_by_threads_that_give_way(monkeypatch: pytest.MonkeyPatch, niceness: int) -> None:
    """In a server that has a lower priority itself, they keep that one: to raise it is not allowed."""
    given: list[int] = []
    monkeypatch.setattr(os, "getpriority", lambda *_: niceness)
    monkeypatch.setattr(os, "setpriority", lambda _, thread, value: given.extend((thread, value)))
    with bodies.large_threads() as threads:
        thread = threads.submit(threading.get_native_id).result(10)
    assert given == [thread, max(niceness, bodies.LARGE_NICENESS)]


def test_the_threads_of_small_requests_keep_their_priority() -> None:
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with bodies.large_threads() as threads:
        own = threads.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result(10)
    assert own == max(usual, bodies.LARGE_NICENESS)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == usual
