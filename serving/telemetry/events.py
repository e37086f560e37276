"""The events that the server records: answered requests and scored leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Answered(NamedTuple):
    """A request that was answered; `context` has its id, and the org and the version as far as they are known."""

    method: str
    route: str
    status: int
    duration_seconds: float
    context: dict[str, Any]


class Scored(NamedTuple):
    """The leads of a request, all scored by one version: their probabilities, and how long that took."""

    version: str
    probabilities: Sequence[float]
    duration_seconds: float
