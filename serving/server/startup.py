"""Preparations before the first request, whichever server runs the app."""

from __future__ import annotations

from leadscore.engine.native import kernels
from leadscore.errors import CannotRun
from leadscore.settings import Settings


def prepare(settings: Settings) -> None:
    """Create the registry's folder when it is missing, and compile the engine. Raises CannotRun."""
    try:
        settings.model_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(
            f"MODEL_PATH cannot be created as a folder ({error.strerror}); set it to a folder that this user may read"
        ) from error
    kernels()  # now, so that no request waits for it, and in the process from which others are made
