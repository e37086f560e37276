"""Probes of the database and of Dagster: asked seldom, answered at once, with at most one thread per probe."""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Generic, Literal, NamedTuple, TypeVar

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from leadscore.control_plane import LIVING_REGISTRY
from leadscore.settings import Settings

# PostgreSQL's client library takes no shorter one
CONNECT_TIMEOUT_SECONDS = 2
QUERY_SECONDS = 2.0

State = Literal["up", "down", "unknown"]
# the classes of SQLSTATE when a table or its schema does not exist, or may not be read
_NO_LEASE_CLASSES = (b"42", b"3F")
Found = TypeVar("Found")

_log = logging.getLogger(__name__)


class Probe(Generic[Found]):
    """A question whose last answer is good for `fresh_seconds`.

    The answer is `down` when the question raises, or takes longer than `wait_seconds`.
    """

    def __init__(
        self, name: str, ask: Callable[[], Found], down: Found, *, fresh_seconds: float, wait_seconds: float
    ) -> None:
        self._name, self._ask, self._down = name, ask, down
        self._fresh_seconds, self._wait_seconds = fresh_seconds, wait_seconds
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._is_asking = False
        self._found = down
        self._asked_at_seconds = float("-inf")

    def start(self) -> None:
        """Ask in the background, unless the answer is fresh or on its way."""
        with self._lock:
            is_fresh = time.monotonic() - self._asked_at_seconds < self._fresh_seconds
            if is_fresh or self._is_asking:
                return
            self._is_asking = True
            self._answered.clear()
        threading.Thread(target=self._run, name=f"probe-{self._name}", daemon=True).start()

    def answer(self) -> Found:
        """Return the answer, waiting for it at most `wait_seconds`."""
        self.start()
        return self._found if self._answered.wait(self._wait_seconds) else self._down

    def _run(self) -> None:
        found = self._down
        try:
            found = self._ask()
        except Exception:
            # the thread's error has nobody to catch it, and an unforeseen one means down as well
            _log.exception("the probe of %s failed", self._name)
        with self._lock:
            if found != self._found:
                _log.warning("%s is %s", self._name, found)
            self._found, self._is_asking, self._asked_at_seconds = found, False, time.monotonic()
            self._answered.set()


class DatabaseState(NamedTuple):
    """Whether the CRM's database answers, and the id of the registry that its control plane uses, if there is one."""

    state: State
    registry_id: str | None = None

    def __str__(self) -> str:
        return self.state


def database_state(settings: Settings) -> DatabaseState:
    """Return whether the CRM's database answers a query, and which registry is trained into there."""
    arguments = settings.database_arguments()
    try:
        with closing(psycopg.connect(**arguments, connect_timeout=CONNECT_TIMEOUT_SECONDS)) as connection:
            result = answer_in_time(connection.pgconn, LIVING_REGISTRY.encode(), QUERY_SECONDS)
    except psycopg.Error:
        return DatabaseState("down")
    return DatabaseState("down") if result is None else _state_in(result)


def _state_in(result: PGresult) -> DatabaseState:
    """Return what the answer says. A database without the lease's table answers, too."""
    if result.status == ExecStatus.TUPLES_OK:
        value = result.get_value(0, 0) if result.ntuples else None
        return DatabaseState("up", value.decode() if value else None)
    problem = result.error_field(DiagnosticField.SQLSTATE) or b""
    return DatabaseState("up" if problem[:2] in _NO_LEASE_CLASSES else "down")


def answer_in_time(connection: PGconn, query: bytes, most_seconds: float) -> PGresult | None:
    """Return what the database answers to `query`, an error too, or None when it takes longer than `most_seconds`.

    Of several statements, the answer is that of the last, or the error of the one that failed. The time is measured
    here: no option of the client library bounds the wait for a server that takes the query and then hangs, or is cut
    off. Raises psycopg.Error when the connection breaks.
    """
    deadline = time.monotonic() + most_seconds
    poller = select.poll()
    poller.register(connection.socket, select.POLLIN)
    connection.send_query(query)
    answer: PGresult | None = None
    while True:
        while connection.is_busy():
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0 or not poller.poll(left_seconds * 1_000):
                return None
            connection.consume_input()
        result = connection.get_result()
        if result is None:
            return answer
        answer = result
