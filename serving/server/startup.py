"""What is done once before anything is served, whichever server runs the app."""

from __future__ import annotations

from leadscore.engine.native import kernels
from leadscore.errors import CannotRun
from leadscore.settings import Settings


def prepare(settings: Settings) -> None:
    """Make the registry's folder when it is missing, and have the engine compiled. Raises CannotRun."""
    try:
        settings.model_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(
            f"MODEL_PATH cannot be made a folder ({error.strerror}); name one that this user may read"
        ) from error
    kernels()  # now, so that no request waits for it, and in the process from which others are made
