"""Restarts a part of the system that dies: after 1 s, and after twice as long each time it dies again soon."""

from __future__ import annotations

import time
from collections.abc import Callable

from leadscore.errors import CannotRun
from standalone.processes import Process

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
STEADY_SECONDS = 60.0  # after so long without dying, the wait is FIRST_WAIT_SECONDS again
SETTLED_SECONDS = 10.0  # a part without a port counts as running again after so long


class Restarted:
    """A part that is started again whenever it dies. The caller must call `watch` regularly.

    `start_again` starts it without waiting. `answers` returns whether it works by now; it is None for a part that
    cannot be asked. `say` prints a line when the part dies, and another when it runs again.
    """

    def __init__(
        self,
        process: Process,
        start_again: Callable[[], Process],
        answers: Callable[[], bool] | None,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.process = process
        self._start_again, self._answers, self._say, self._clock = start_again, answers, say, clock
        self._started_at = clock()
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._due_at: float | None = None
        self._is_awaited = False

    def watch(self) -> None:
        """Check the part once: start it when that is due, or report that it died or runs again."""
        if self._due_at is not None:
            if self._clock() >= self._due_at:
                self._start()
        elif how := self.process.ending():
            self.process.stop()  # ends its child processes, too
            self._put_off(how)
        elif self._is_awaited and self._is_back():
            self._is_awaited = False
            self._say(f"The {self.process.name} is running again.")

    def _start(self) -> None:
        self._started_at = self._clock()
        try:
            self.process = self._start_again()
        except (CannotRun, OSError) as error:
            self._put_off(f"could not be started ({error})")
        else:
            self._due_at, self._is_awaited = None, True

    def _put_off(self, why: str) -> None:
        now = self._clock()
        if now - self._started_at >= STEADY_SECONDS:
            self._wait_seconds = FIRST_WAIT_SECONDS
        self._say(
            f"The {self.process.name} {why}. It will be started again in {self._wait_seconds:g} s."
            f" Its log is {self.process.log_path}."
        )
        self._due_at = now + self._wait_seconds
        self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)

    def _is_back(self) -> bool:
        return self._answers() if self._answers else self._clock() - self._started_at >= SETTLED_SECONDS
