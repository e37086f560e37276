"""Removes what old runs, schedules and sensors printed, which Dagster keeps in files below its folder `storage`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from leadscore_assets.retention.removed import Removed, total

# what Dagster's local log manager writes: standard output and error, whole or in the making, and a mark of the end
SUFFIXES = (".out", ".err", ".complete", ".partial")


def remove_old_output(folder: Path, before: datetime) -> Removed:
    """Remove the files that nobody has written to since that moment, and folders that have been empty since then.

    Raises OSError when one that is there cannot be removed.
    """
    return total("files of output", _removed_files(folder, before.timestamp()))


def _removed_files(folder: Path, before_seconds: float) -> Iterator[tuple[int, int]]:
    for parent, _, names in os.walk(folder, topdown=False):
        for path in (Path(parent, name) for name in names if name.endswith(SUFFIXES)):
            with suppress(FileNotFoundError):  # another process removed it
                status = path.lstat()
                if status.st_mtime < before_seconds:
                    path.unlink()
                    yield 1, status.st_size
        _remove_if_empty(Path(parent), folder, before_seconds)


def _remove_if_empty(path: Path, folder: Path, before_seconds: float) -> None:
    """Remove a folder that nothing was put in or taken from since then: a run may be about to write to a newer one."""
    with suppress(FileNotFoundError):
        if path != folder and path.lstat().st_mtime < before_seconds and not any(path.iterdir()):
            path.rmdir()
