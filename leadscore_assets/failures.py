"""Turns errors into Dagster failures with a clear text and the error's code as metadata."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from leadscore.errors import LeadscoreError


def in_words(error: Exception) -> str:
    """Return what went wrong: the text of our own errors; of others the kind and the place, since a text may have data.

    The texts of libraries can quote rows of the CRM.
    """
    if isinstance(error, LeadscoreError):
        return error.message
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: a defect, please report it"


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turn our own errors into a Dagster failure that shows their text instead of a stack trace."""
    try:
        yield
    except LeadscoreError as error:
        raise dg.Failure(error.message, {"code": error.code}, allow_retries=False) from error
