"""Is the database up, is Dagster up: asked seldom, answered at once, with at most one thread per question."""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from contextlib import closing

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from leadscore.settings import Settings

# PostgreSQL's client library takes no shorter one
CONNECT_TIMEOUT_SECONDS = 2
QUERY_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Probe:
    """A question whose last answer is good for `fresh_seconds`; what takes longer than `wait_seconds` is down."""

    def __init__(self, name: str, ask: Callable[[], bool], fresh_seconds: float, wait_seconds: float) -> None:
        self._name, self._ask = name, ask
        self._fresh_seconds, self._wait_seconds = fresh_seconds, wait_seconds
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._is_asking = False
        self._is_up = False
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

    def is_up(self) -> bool:
        """Return the answer, waiting for it at most `wait_seconds`."""
        self.start()
        return self._answered.wait(self._wait_seconds) and self._is_up

    def _run(self) -> None:
        is_up = False
        try:
            is_up = self._ask()
        except Exception:
            # the thread's error has nobody to catch it, and an unforeseen one means down as well
            _log.exception("the probe of %s failed", self._name)
        with self._lock:
            if is_up != self._is_up:
                _log.warning("%s is %s", self._name, "up" if is_up else "down")
            self._is_up, self._is_asking, self._asked_at_seconds = is_up, False, time.monotonic()
            self._answered.set()


def is_database_up(settings: Settings) -> bool:
    """Return whether the CRM's database answers a query."""
    arguments = settings.database_arguments()
    try:
        with closing(psycopg.connect(**arguments, connect_timeout=CONNECT_TIMEOUT_SECONDS)) as connection:
            return _answers(connection.pgconn)
    except psycopg.Error:
        return False


def _answers(connection: PGconn) -> bool:
    """Return whether a query is answered in time."""
    result = answer_in_time(connection, b"SELECT 1", QUERY_SECONDS)
    return result is not None and result.status == ExecStatus.TUPLES_OK


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
