"""Starts child processes that end with their parent and, where needed, do not run as root.

`setpriv` (util-linux) does both; it changes only the new process, and nothing on the machine.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from leadscore.errors import CannotRun

UNPRIVILEGED_USER = "nobody"
# Only for a project below a folder that `nobody` may not enter: the child reads and writes as root would, and can do
# nothing else that root can. Without the secure bit, access(2) would still ask what the bare user may do.
KEEP_FILE_ACCESS = (
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--securebits=+no_setuid_fixup",
)
REMEDIES = "Run as an ordinary user, or set DB_HOST to a PostgreSQL of your own."


def is_root() -> bool:
    """Return whether this process is root."""
    return os.geteuid() == 0


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that runs `command`, and sends it SIGINT when the thread that starts it ends, also by SIGKILL.

    On systems without `setpriv`, return `command` unchanged.
    """
    return [*_setpriv_that_watches_parent(), *command]


def as_ordinary_user(command: Sequence[str], folder: Path) -> list[str]:
    """Return a command that runs `command` as an ordinary user who can use `folder`, and ends with its parent.

    Raises CannotRun when this process is root and cannot start such a child.
    """
    if not is_root():
        return dying_with_parent(command)
    if not shutil.which("setpriv"):
        raise CannotRun(
            f"PostgreSQL refuses to run as root, and `setpriv` (util-linux) is not installed to start it as"
            f" {UNPRIVILEGED_USER}. Install util-linux. {REMEDIES}"
        )
    user = unprivileged_user()
    demotion = [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--pdeathsig",
        "SIGINT",
    ]
    for extra in ((), KEEP_FILE_ACCESS):
        if _reaches([*demotion, *extra], Path(command[0]), folder):
            return [*demotion, *extra, "--", *command]
    raise CannotRun(
        f"PostgreSQL refuses to run as root, and as {UNPRIVILEGED_USER} it cannot reach {folder} or {command[0]}."
        f" Move the project and STATE_DIR to folders that every user may enter. {REMEDIES}"
    )


def unprivileged_user() -> pwd.struct_passwd:
    """Return the user that root's children become. Raises CannotRun when the machine has no such user."""
    try:
        return pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise CannotRun(
            f"PostgreSQL refuses to run as root, and there is no user {UNPRIVILEGED_USER!r} to run it as. {REMEDIES}"
        ) from None


def how_it_ended(exit_code: int) -> str:
    """Return in words how a process ended, from the exit code that `subprocess` gives."""
    return f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"


def last_lines(path: Path, count: int = 15) -> str:
    """Return the last `count` lines of the log at `path`, or say that there are none."""
    try:
        lines = path.read_text(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        lines = []
    return "\n".join(f"    {line}" for line in lines) or "    (its log is empty)"


def _reaches(prefix: list[str], program: Path, folder: Path) -> bool:
    # Asked of a real child: modes, groups, access lists, mounts and the kernel's rules decide together.
    question = 'test -r "$0" && test -x "$0" && test -w "$1" && test -x "$1"'
    probe = subprocess.run(
        [*prefix, "--", "/bin/sh", "-c", question, str(program), str(folder)], cwd="/", capture_output=True, check=False
    )
    return probe.returncode == 0


@cache
def _setpriv_that_watches_parent() -> tuple[str, ...]:
    if not sys.platform.startswith("linux") or not shutil.which("setpriv"):
        return ()
    wrapper = ("setpriv", "--pdeathsig", "SIGINT", "--")
    probe = subprocess.run([*wrapper, "/bin/true"], capture_output=True, check=False)
    return wrapper if probe.returncode == 0 else ()
