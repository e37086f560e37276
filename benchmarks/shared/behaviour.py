"""How a server behaves when clients stall, send too much, when it is told to stop, and when a process of it dies."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.shared.load import CUT_OFF, LOOPBACK, answers
from benchmarks.shared.processes import Running

STALLED_CLIENTS = 150
PROBES = 3
PROBE_SECONDS = 5.0
LONGEST_STALL_SECONDS = 20.0
LOAD_SECONDS = 6.0
BEFORE_SIGNAL_SECONDS = 2.0
RECOVERY_SECONDS = 10.0
PROBES_OF_RECOVERED = 20
CHUNK = b"x" * 10_000
TOO_MANY_CHUNKS = 30


def stalled_body(path: str) -> bytes:
    """Return a request whose body stops after its first byte."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode()
    )


def stalled_head(path: str) -> bytes:
    """Return a request that stops within its headers."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode()


def under_stalled(port: int, stalled: bytes, probe: bytes) -> tuple[float | None, float | None]:
    """Return how long a request takes while many clients stall, and when the first of these is cut off, in seconds.

    None stands for longer than what is waited for.
    """
    clients = [socket.create_connection((LOOPBACK, port)) for _ in range(STALLED_CLIENTS)]
    try:
        for client in clients:
            client.sendall(stalled)
        started = time.perf_counter()
        time.sleep(0.3)  # until the server has seen them all
        times = [answered(port, probe) for _ in range(PROBES)]
        slowest = None if None in times else max(found for found in times if found is not None)
        clients[0].settimeout(max(0.1, LONGEST_STALL_SECONDS - (time.perf_counter() - started)))
        return slowest, _until_cut_off(clients[0], started)
    finally:
        for client in clients:
            client.close()


def answered(port: int, request: bytes) -> float | None:
    """Return after how many seconds a request on a new connection is answered; None when it is not in time."""
    started = time.perf_counter()
    try:
        with socket.create_connection((LOOPBACK, port), timeout=PROBE_SECONDS) as client:
            client.sendall(request)
            return time.perf_counter() - started if client.recv(1_000) else None
    except OSError:
        return None


def _until_cut_off(client: socket.socket, started: float) -> float | None:
    try:
        client.recv(1_000)
    except TimeoutError:
        return None
    except ConnectionError:
        pass
    return time.perf_counter() - started


def status_of_chunks(port: int, path: str) -> str:
    """Return the status that answers a body in chunks which is larger than what is allowed."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((LOOPBACK, port), timeout=PROBE_SECONDS) as client:
        try:
            client.sendall(head.encode())
            for _ in range(TOO_MANY_CHUNKS):
                client.sendall(f"{len(CHUNK):x}\r\n".encode() + CHUNK + b"\r\n")
            client.sendall(b"0\r\n\r\n")
        except ConnectionError:
            # it may have refused already; then the answer is there
            pass
        try:
            return client.recv(1_000)[9:12].decode() or "closed"
        except (ConnectionError, TimeoutError) as error:
            return type(error).__name__[:7]


def stopped_under_load(service: Running, request: bytes, generator: ProcessPoolExecutor) -> tuple[int, float]:
    """Return how many requests a SIGTERM under load costs, and how many seconds the server takes to end."""
    job = generator.submit(counted, service.port, request, LOAD_SECONDS)
    time.sleep(BEFORE_SIGNAL_SECONDS)
    seconds = service.stop()
    return job.result()[CUT_OFF], seconds


def counted(port: int, request: bytes, seconds: float) -> Counter[int]:
    """Return how many requests got which status while the server answers, at most so many seconds."""
    found = answers(port, [request], 16, time.perf_counter() + seconds)
    return Counter(answer.status for answer in found)


def recovered(service: Running, request: bytes) -> float | None:
    """Kill the largest process but the first, and return after how many seconds all is as before; None when never."""
    before = service.pids()
    others = [pid for pid in before if pid != service.process.pid] or before
    os.kill(max(others, key=_resident_pages), signal.SIGKILL)
    started = time.perf_counter()
    while time.perf_counter() - started < RECOVERY_SECONDS:
        if len(service.pids()) >= len(before) and _answers_always(service.port, request):
            return time.perf_counter() - started
        time.sleep(0.1)
    return None


def _answers_always(port: int, request: bytes) -> bool:
    return all(answered(port, request) is not None for _ in range(PROBES_OF_RECOVERED))


def _resident_pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
