"""The folder that the processes of one server share, for mapped files, training claims and metrics."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from leadscore.errors import CannotRun

LOCK_FILE = ".lock"
MAKING_SECONDS = 60


def private_folder() -> Path:
    """Return a new folder for this process and its forks, which is removed when this process ends.

    It also removes the folders of killed processes. Raises CannotRun when the folder cannot be created.
    """
    prefix = f"leadscore-{os.getuid()}-"
    try:
        base = Path(tempfile.gettempdir())
        for other in base.glob(f"{prefix}*"):
            _remove_if_left(other)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        _hold(folder)
    except OSError as error:
        raise CannotRun(
            f"the folder that the server's processes share cannot be created ({error.strerror});"
            " set TMPDIR to a folder with free space that this user may write"
        ) from error
    atexit.register(_remove_at_exit, folder, os.getpid())
    return folder


def _hold(folder: Path) -> None:
    """Lock the folder for as long as this process or one that it forked lives; it has its lock's name once locked."""
    partial = folder / f"{LOCK_FILE}-new"
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    partial.rename(folder / LOCK_FILE)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder whose lock is free. A folder without a lock is just being created, unless it is old."""
    with suppress(OSError):
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            return
        try:
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            if time.time() - status.st_mtime > MAKING_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _remove_at_exit(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
