"""A secret in a file: the first process that needs it makes it, and only the file's owner can read it.

`python -m leadscore.secret_file FILE` makes the secret, for containers that share the file.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from leadscore.errors import CannotRun, LeadscoreError
from leadscore.settings import Settings

_BYTES = 24


def kept_secret(path: Path) -> str:
    """Return the secret in the file; make it when it is missing. Raises CannotRun."""
    try:
        if not path.exists():
            _make(path)
        secret = path.read_text()
    except OSError as error:
        raise CannotRun(
            f"{path} cannot be read or written ({error.strerror}); name a folder that this user may write"
        ) from error
    if not secret:
        raise CannotRun(f"{path} is empty, but must hold a secret; delete it, and the next start makes a new one")
    return secret


def _make(path: Path) -> None:
    """Make the file, which gets its name only once it is complete; keep one that another process has made."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-") as file:
        file.write(secrets.token_hex(_BYTES))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)


def dagster_token(settings: Settings) -> str | None:
    """Return DAGSTER_TOKEN, or else the content of DAGSTER_TOKEN_FILE. Raises CannotRun."""
    if settings.dagster_token or not settings.dagster_token_file:
        return settings.dagster_token
    try:
        return settings.dagster_token_file.read_text().strip() or None
    except OSError as error:
        raise CannotRun(
            f"DAGSTER_TOKEN_FILE is {settings.dagster_token_file}, which cannot be read ({error.strerror}); make it"
            " with python -m leadscore.secret_file, or unset the setting"
        ) from error


def main(paths: list[str]) -> int:
    """Make the secret in the one file of `paths`; return the exit code."""
    if len(paths) != 1:
        print("usage: python -m leadscore.secret_file FILE", file=sys.stderr)
        return 2
    try:
        kept_secret(Path(paths[0]))
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
