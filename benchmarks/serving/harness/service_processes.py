"""Services under measurement: started in a session of their own, found whole, weighed, and ended whole."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.harness.load_generator import LOOPBACK, Failed
from leadscore.settings import PROJECT_ROOT

START_SECONDS = 90.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LAST_LINES = 15


@dataclass(frozen=True)
class Service:
    """How a service is started, and on which port it answers. Its environment is this process's and `environment`."""

    name: str
    command: Sequence[str | Path]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = PROJECT_ROOT


@dataclass(frozen=True)
class Running:
    """A service that was started, and the file of what it says."""

    service: Service
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def port(self) -> int:
        """The port on which it answers."""
        return self.service.port

    def pids(self) -> list[int]:
        """Return its living processes: those of the session that it was started in, and what they started."""
        parents = _parents()
        found = {pid for pid in parents if _session(pid) == self.process.pid}
        while True:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            if not more:
                return sorted(found)
            found |= more

    def pss_bytes(self) -> int:
        """Return the memory of its processes: what they share is counted once, what others share with them in part."""
        return sum(_pss_bytes(pid) for pid in self.pids())

    def cpu_seconds(self) -> float:
        """Return the CPU time that its living processes have taken."""
        ticks = sum(int(field) for pid in self.pids() for field in _stat(pid)[11:13])
        return ticks / CLOCK_TICKS_PER_SECOND

    def last_words(self) -> str:
        """Return the last lines that it wrote."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-LAST_LINES:])

    def stop(self) -> float:
        """End it, all its processes, and return how long that took; those that do not end in time are killed."""
        left, started = self.pids(), time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        seconds = time.perf_counter() - started
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return seconds


@contextmanager
def running(services: Sequence[Service], folder: Path) -> Iterator[dict[str, Running]]:
    """Start all services, wait until each listens, and yield them by name; all are ended in the end.

    What they say goes to files in `folder`. Raises Failed when one does not come up.
    """
    started = {service.name: _start(service, folder) for service in services}
    try:
        for one in started.values():
            _wait(one)
        yield started
    finally:
        for one in started.values():
            one.stop()


def _start(service: Service, folder: Path) -> Running:
    output = folder / f"{service.name.replace(' ', '-').replace('/', '-')}.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            list(map(str, service.command)),
            cwd=service.folder,
            env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(service, process, output)


def _wait(one: Running) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _listens(one.port):
        if one.process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"{one.name} does not listen on its port. Its last words:\n{one.last_words()}")
        time.sleep(POLL_SECONDS)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _parents() -> dict[int, int]:
    """Return the parent of each living process on this machine."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = _stat(int(entry.name))[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
    return parents


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        # it ended meanwhile
        return None


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise Failed(f"the kernel does not tell the memory of process {pid}")
