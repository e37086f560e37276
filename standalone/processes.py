"""Child processes that run until they are stopped, each with a log file."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from leadscore.errors import CannotRun
from leadscore.settings import PROJECT_ROOT
from leadscore_assets.process_group import is_any_running, signal_group
from standalone.child import dying_with_parent, how_it_ended, last_lines
from standalone.log_files import DEFAULT_LIMITS, LogLimits, LogWriter

# a training run that is told to stop writes down that it did, which takes about 3 s
STOP_SECONDS = 8.0
QUIET_SECONDS = 1.0
POLL_SECONDS = 0.1


class Process(Protocol):
    """A part that runs until it is stopped or dies: a child process or the embedded PostgreSQL."""

    @property
    def name(self) -> str:
        """Its name in messages, as in "The NAME is running again."."""

    @property
    def log_path(self) -> Path:
        """The file that holds its output."""

    def ending(self) -> str | None:
        """Return in words how it ended, None while it runs."""

    def raise_if_ended(self) -> None:
        """Raise CannotRun, with the end of the log, when it does not run any more."""

    def stop(self) -> None:
        """End it and everything that it started; do nothing when it has ended."""


class Child:
    """A process of its own session, started from the project's folder; its output is appended to `log_path`.

    When that file is full, it makes room for a new one: see `log_files`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        limits: LogLimits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._log = LogWriter(log_path, limits)
        # Its own session: Ctrl-C in the terminal is for the parent, and its children's children can be found again.
        with self._log.pipe() as log:
            self._process = subprocess.Popen(
                dying_with_parent(command),
                cwd=PROJECT_ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ending(self) -> str | None:
        """Return in words how it ended, None while it runs."""
        code = self._process.poll()
        return None if code is None else how_it_ended(code)

    def is_running(self) -> bool:
        """Return whether the process, or something that it started, still runs."""
        return self._process.poll() is None or is_any_running(self._process.pid)

    def terminate(self) -> None:
        """Ask the process, and everything that it started, to end."""
        signal_group(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the process, and everything that it started, at once."""
        signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.finish()

    def stop(self) -> None:
        """End the process and everything that it started, forcibly when it takes longer than STOP_SECONDS."""
        stop_all([self])

    def wait_for_success(self, seconds: float) -> None:
        """Return once the process has done its work. Raises CannotRun, with the end of the log, when it could not."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise CannotRun(f"The {self.name} took longer than {seconds:g} seconds. Read {self.log_path}.") from None
        if code:
            self.raise_if_ended()
        self._log.finish()

    def raise_if_ended(self) -> None:
        """Raise CannotRun, with the end of the log, when the process does not run any more."""
        if how := self.ending():
            self._log.finish()
            raise CannotRun(f"The {self.name} {how}. The end of {self.log_path}:\n{last_lines(self.log_path)}")


def stop_all(children: Sequence[Child], say: Callable[[str], None] = lambda _: None) -> None:
    """End the children at once, and everything that they started, forcibly when it takes longer than STOP_SECONDS.

    After QUIET_SECONDS, `say` prints which of them are waited for.
    """
    for child in children:
        child.terminate()
    began, is_said = time.monotonic(), False
    while running := [child for child in children if child.is_running()]:
        seconds = time.monotonic() - began
        if seconds > STOP_SECONDS:
            break
        if seconds > QUIET_SECONDS and not is_said:
            names = ", ".join(child.name for child in running)
            say(f"Waiting for: {names}. What has not ended after {STOP_SECONDS:g} s is killed.")
            is_said = True
        time.sleep(POLL_SECONDS)
    for child in children:
        child.kill()


def wait_until(is_done: Callable[[], bool], parts: Sequence[Process], what: str, seconds: float) -> None:
    """Return once `is_done`. Raises CannotRun when one of `parts` ends before, or `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not is_done():
        for part in parts:
            part.raise_if_ended()
        if time.monotonic() > deadline:
            logs = ", ".join(str(part.log_path) for part in parts)
            raise CannotRun(f"The {what} did not answer within {seconds:g} seconds. Read {logs}.")
        time.sleep(POLL_SECONDS)
