"""A group of processes: a server that was started in a session of its own, and everything that it started there."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def signal_group(group: int, number: signal.Signals) -> None:
    """Send the signal to every process of the group; do nothing when none is left."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def is_any_running(group: int) -> bool:
    """Return whether a process of the group runs; one that has ended and was not collected does not.

    Without /proc, which only Linux has, return False.
    """
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if state != "Z" and int(its_group) == group:
                return True
    return False
