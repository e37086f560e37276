"""Turns errors into Dagster failures with a clear text and the error's code as metadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from leadscore.errors import LeadscoreError


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turn our own errors into a Dagster failure that shows their text instead of a stack trace."""
    try:
        yield
    except LeadscoreError as error:
        raise dg.Failure(error.message, {"code": error.code}, allow_retries=False) from error
