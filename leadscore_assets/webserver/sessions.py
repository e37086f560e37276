"""Browser sessions: a random value, sent as a cookie, stands for a token until the session expires."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 1_000


class Sessions:
    """The open sessions, in memory only: a restart ends them. One more than MAX_SESSIONS ends the oldest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, tuple[str, float]] = {}

    def start(self, token: str) -> str:
        """Start a session for the token and return the value that stands for it."""
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        value = secrets.token_urlsafe(32)
        self._sessions[value] = (token, self._clock() + SESSION_SECONDS)
        return value

    def token(self, value: str) -> str | None:
        """Return the token of the session with this value; None when there is none, or it has expired."""
        token, ends_at = self._sessions.get(value, (None, 0.0))
        if token is None or self._clock() < ends_at:
            return token
        del self._sessions[value]
        return None
