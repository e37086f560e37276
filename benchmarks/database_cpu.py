"""The CPU time of a PostgreSQL server on this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from leadscore_assets.source.database import Connection


def database_cpu_seconds(connection: Connection) -> float:
    """Return the CPU time of the server's processes, also of those that have ended."""
    row: Any = connection.execute("SELECT current_setting('data_directory')").fetchone()
    postmaster = (Path(row[0]) / "postmaster.pid").read_text().split()[0]
    ticks = sum(_ticks(postmaster))  # with those of the children that it has waited for
    for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        with suppress(FileNotFoundError):  # it has just ended
            ticks += sum(_ticks(child)[:2])
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(process: str) -> list[int]:
    """Return the ticks of a process in its own code and in the kernel, then of its children that were waited for."""
    return [int(word) for word in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]]
