"""A load generator for HTTP on loopback: one thread, epoll, raw sockets, keep-alive, requests made beforehand.

`own_limit` says how many requests it makes itself, against a server that does nothing.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import re
import select
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
NO_ANSWER_SECONDS = 60.0
RECEIVE_BYTES = 1 << 14  # more would be mapped and unmapped again for every answer
MOST_RECEIVE_BYTES = 1 << 20
HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CLOSES = re.compile(rb"\nconnection: *close", re.IGNORECASE)
CUT_OFF = 0  # stands for the status when a connection ended before its answer


class Failed(Exception):
    """A service did not answer as it should; a measurement of it would mean nothing."""


class Answer(NamedTuple):
    """What became of one request: when it was over, on time.perf_counter's clock, after how long, how."""

    at_seconds: float
    took_seconds: float
    status: int


@dataclass(frozen=True)
class Load:
    """What some seconds of load showed. `generator_us` is the CPU time that a request took the load generator.

    `count` is of those that the figures are made of, `all_count` has those of the warm-up, too.
    """

    per_second: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    count: int
    all_count: int
    generator_us: float


def post(path: str, body: bytes, token: str = "") -> bytes:
    """Return a request with a JSON body, with the `token` if there is one."""
    shown = f"\r\nAuthorization: Bearer {token}" if token else ""
    length = f"Content-Length: {len(body)}"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json{shown}\r\n{length}"
    return head.encode() + HEAD_END + body


def get(path: str) -> bytes:
    """Return a request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def load(port: int, requests: Sequence[bytes], connections: int, seconds: float, warm_up_seconds: float = 1.0) -> Load:
    """Keep a request under way on each connection for `seconds` after the warm-up. Raises Failed on any but a 200."""
    gc.disable()
    begins = time.perf_counter() + warm_up_seconds
    latencies, warm_up_count, cpu_seconds = [], 0, 0.0
    for answer in answers(port, requests, connections, begins + seconds):
        if answer.status != 200:
            raise Failed(f"port {port} answered {answer.status} where 200 was expected (0 is a closed connection)")
        if answer.at_seconds < begins:
            warm_up_count, cpu_seconds = warm_up_count + 1, time.process_time()
        else:
            latencies.append(answer.took_seconds)
    cpu_seconds, took_seconds = time.process_time() - cpu_seconds, time.perf_counter() - begins
    if not latencies:
        raise Failed(f"port {port} gave no answer in {seconds} s")
    return Load(
        per_second=len(latencies) / took_seconds,
        mean_ms=statistics.fmean(latencies) * 1e3,
        p50_ms=statistics.median(latencies) * 1e3,
        p99_ms=percentile(latencies, 0.99) * 1e3,
        count=len(latencies),
        all_count=warm_up_count + len(latencies),
        generator_us=cpu_seconds / len(latencies) * 1e6,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def answers(port: int, requests: Sequence[bytes], connections: int, until_seconds: float) -> Iterator[Answer]:
    """Yield what becomes of each request, as it does, until the time is over or nobody listens any more.

    The requests take turns. Those that are under way when the time is over are given up.
    """
    turns = itertools.cycle(requests)
    with select.epoll() as epoll:
        by_descriptor: dict[int, _Connection] = {}
        try:
            for _ in range(connections):
                _begin(port, epoll, by_descriptor, turns)
            while by_descriptor and time.perf_counter() < until_seconds:
                ready = epoll.poll(NO_ANSWER_SECONDS)
                if not ready:
                    raise Failed(f"port {port} gave no answer for {NO_ANSWER_SECONDS:.0f} s")
                for descriptor, _ in ready:
                    connection = by_descriptor[descriptor]
                    answer = connection.receive()
                    if answer is None:
                        continue
                    yield answer
                    if connection.is_open:
                        connection.send(next(turns))
                    else:
                        del by_descriptor[descriptor]
                        _begin(port, epoll, by_descriptor, turns)
        finally:
            for connection in by_descriptor.values():
                connection.socket.close()


def _begin(port: int, epoll: select.epoll, by_descriptor: dict[int, _Connection], turns: Iterator[bytes]) -> None:
    """Open a connection and send a request on it, unless nobody listens."""
    try:
        connection = _Connection(port)
    except OSError:
        return
    epoll.register(connection.socket.fileno(), select.EPOLLIN)
    by_descriptor[connection.socket.fileno()] = connection
    connection.send(next(turns))


class _Connection:
    """A connection with one request under way at a time. `is_open` is false once it takes no further request."""

    __slots__ = ("is_open", "received", "sent_seconds", "socket", "whole_bytes")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=NO_ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # epoll says when; with a timeout, each call would ask the kernel again
        self.socket.setblocking(True)
        self.is_open, self.received, self.sent_seconds, self.whole_bytes = True, b"", 0.0, 0

    def send(self, request: bytes) -> None:
        """Send a request; a server that is gone shows when its answer is received."""
        self.sent_seconds = time.perf_counter()
        try:
            self.socket.sendall(request)
        except OSError:
            self.is_open = False

    def receive(self) -> Answer | None:
        """Return the answer once it is whole."""
        try:
            part = self.socket.recv(RECEIVE_BYTES if len(self.received) < RECEIVE_BYTES else MOST_RECEIVE_BYTES)
        except ConnectionError:
            part = b""
        if not part:
            return self._end(CUT_OFF)
        self.received += part
        if not self.whole_bytes:
            self._read_head()
        if not self.whole_bytes or len(self.received) < self.whole_bytes:
            return None
        return self._end(int(self.received[9:12]))

    def _read_head(self) -> None:
        head_bytes = self.received.find(HEAD_END)
        if head_bytes >= 0:
            length = CONTENT_LENGTH.search(self.received, 0, head_bytes)
            if length is None:
                raise Failed("an answer without Content-Length, which this load generator does not read")
            self.whole_bytes = head_bytes + len(HEAD_END) + int(length[1])
            self.is_open = not CLOSES.search(self.received, 0, head_bytes)

    def _end(self, status: int) -> Answer:
        now = time.perf_counter()
        if status == CUT_OFF or not self.is_open:
            self.is_open = False
            self.socket.close()
        self.received, self.whole_bytes = b"", 0
        return Answer(now, now - self.sent_seconds, status)


def generator() -> ProcessPoolExecutor:
    """Return a process to generate load in, so that what the benchmark holds in memory does not slow it down."""
    return ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))


def answer_nothing(listening: socket.socket) -> None:
    """Answer every request with as little as possible, until the process ends."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with select.epoll() as epoll:
        epoll.register(listening.fileno(), select.EPOLLIN)
        clients: dict[int, socket.socket] = {}
        while True:
            for descriptor, _ in epoll.poll():
                if descriptor == listening.fileno():
                    client, _ = listening.accept()
                    clients[client.fileno()] = client
                    epoll.register(client.fileno(), select.EPOLLIN)
                    continue
                try:
                    clients[descriptor].recv(RECEIVE_BYTES)
                    clients[descriptor].sendall(answer)
                except ConnectionError:
                    clients.pop(descriptor).close()


def own_limit(connections: int, seconds: float = 3.0) -> Load:
    """Return what this load generator does against a server that does nothing, in a process of its own."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]
        server = multiprocessing.get_context("spawn").Process(target=answer_nothing, args=(listening,), daemon=True)
        server.start()
        with generator() as process:
            found = process.submit(load, port, [post("/", b"{}" * 150)], connections, seconds).result()
        server.kill()
        server.join()
        return found
