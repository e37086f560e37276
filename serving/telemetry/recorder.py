"""Records answered requests and scored leads, and writes them in batches as log lines and metrics.

Writing takes longer than answering, above all when it is done for each request. The server therefore takes notes, and
writes them several times a second; a process that is killed loses its last notes. Without a server, as in a test, every
note is written at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from serving.telemetry.events import Answered, Scored
from serving.telemetry.json_logging import Line, take_dropped_lines, write_lines
from serving.telemetry.metrics import Metrics

_log = logging.getLogger("serving.requests")


class Recorder:
    """The notes of one process. `is_deferred` when `write` is called again and again.

    `take_hits` returns how many look-ups found a loaded version since it was called last.
    """

    def __init__(self, metrics: Metrics, take_hits: Callable[[], int] = lambda: 0) -> None:
        self.is_deferred = False
        self._metrics, self._take_hits = metrics, take_hits
        self._writing = threading.Lock()
        self._in_progress: list[None] = []
        self._answered: deque[tuple[float, Answered]] = deque()
        self._scored: deque[Scored] = deque()

    def begin(self) -> None:
        """Note that a request has come."""
        self._in_progress.append(None)

    def scored(self, version: str, probabilities: Sequence[float], duration_seconds: float) -> None:
        """Note the leads of a request, which one version scored."""
        self._scored.append(Scored(version, probabilities, duration_seconds))

    def end(self, answered: Answered) -> None:
        """Note that a request was answered."""
        self._in_progress.pop()
        self._answered.append((time.time(), answered))
        if not self.is_deferred:
            self.write()

    def write(self) -> None:
        """Write what was noted; one thread at a time, so that nothing is taken twice."""
        with self._writing:
            self._write()

    def _write(self) -> None:
        scored, answered = _taken(self._scored), _taken(self._answered)
        self._metrics.count_scored(scored)
        self._metrics.count_answered([one for _, one in answered])
        self._metrics.cache_hits.inc(self._take_hits())
        self._metrics.requests_in_progress.set(len(self._in_progress))
        if dropped := take_dropped_lines():
            self._metrics.log_lines_dropped.inc(dropped)
        if answered and _log.isEnabledFor(logging.INFO):
            write_lines(_log, logging.INFO, [_line(at_seconds, one) for at_seconds, one in answered])


def _taken(notes: deque[Any]) -> list[Any]:
    """Return the notes, and forget them; one that comes meanwhile is of the next turn."""
    return [notes.popleft() for _ in range(len(notes))]


def _line(at_seconds: float, answered: Answered) -> Line:
    method, route, status, duration_seconds, context = answered
    fields = {"method": method, "route": route, "status": status, "duration_ms": round(duration_seconds * 1000, 3)}
    return Line(at_seconds, f"{method} {route} {status}", fields | context)
