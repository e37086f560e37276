"""Preparations before the first request, whichever server runs the app."""

from __future__ import annotations

import logging
from pathlib import Path

from leadscore.engine.native import kernels
from leadscore.errors import CannotRun
from leadscore.secret_file import dagster_token
from leadscore.settings import Settings
from leadscore.tokens import Tokens

_log = logging.getLogger(__name__)


def prepare(settings: Settings) -> None:
    """Create the registry's folder when it is missing, and compile the engine. An object store is not asked yet.

    Raises CannotRun, also when others can reach the server and there are no tokens, or TokensUnavailable.
    """
    check_tokens(settings)
    dagster_token(settings)  # now, because each process would be refused it
    try:
        if isinstance(settings.model_path, Path):
            settings.model_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(
            f"MODEL_PATH cannot be created as a folder ({error.strerror}); set it to a folder that this user may read"
        ) from error
    kernels()  # now, so that no request waits for it, and in the process from which others are made


def check_tokens(settings: Settings) -> None:
    """Raise CannotRun when others can reach the server and there is no token to ask for, or TokensUnavailable."""
    if settings.auth == "OFF":
        _log.warning("AUTH is off: whoever reaches the server may train, roll back and read")
    elif not Tokens(settings.tokens_path).listed() and not settings.is_on_loopback:
        raise CannotRun(
            f"HOST is {settings.host}, which others can reach, and {settings.tokens_path} has no tokens. Make one with"
            " python -m leadscore.tokens new --org '*' --scope score --scope read, or set HOST=127.0.0.1, or AUTH=off"
            " where something in front of the server asks who is there."
        )
