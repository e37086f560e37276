"""Who may ask for what: the host and the origin that a request names, its token, and the orgs of that token.

Nothing of an org is looked up before its org was compared with the token's, so that an org that the caller may not know
of and one that does not exist are answered alike, and as fast.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from time import monotonic
from typing import Any

from flask import current_app, request

from leadscore.errors import LeadscoreError
from leadscore.hosts import host_name, is_own_origin, origin_of, own_names
from leadscore.settings import Settings
from leadscore.tokens import EVERY_ORG, SCOPES, Token, Tokens
from serving.api.problems import CODES, Refusal
from serving.telemetry.request_context import CONTEXT

ACCESS = "leadscore.access"
CALLER = "leadscore.caller"

Environ = Mapping[str, Any]

# whoever asks a server that asks nobody for a token
ANYBODY = Token("", "", SCOPES, (EVERY_ORG,), datetime(1970, 1, 1, tzinfo=UTC))
MOST_HOSTS = 1_024
OPEN_SECONDS = 1.0
# the first one is what a browser asks its user for; the token is the password, with any user name
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="leadscore", charset="UTF-8", Bearer realm="leadscore"'}


class Access:
    """The rules of one server, made from its settings.

    Where no token is asked for, `open_to` holds the hosts that requests named, and until `open_until_seconds` (of the
    monotonic clock) another request of theirs need not be looked at; so the first token is asked for a second after it
    was made.
    """

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._tokens = tokens
        self._is_off, self._is_required = settings.auth == "OFF", not settings.is_on_loopback
        self._hosts = _known_hosts(settings)
        self.open_to: set[str | None] = set()
        self.open_until_seconds = 0.0
        self._public_origin = origin_of(settings.server_url) if settings.server_url else None
        # clients name the same few hosts again and again
        self._is_known = lru_cache(MOST_HOSTS)(self._is_known_host)

    def admit(self, environ: Environ, scope: str) -> Token:
        """Return who asks, when they may do what `scope` names. Raises Refusal 401, 403 or 421, or TokensUnavailable.

        Raises them for a page of another site, too: one whose name was made to point here, or that posts a form here.
        """
        host = environ.get("HTTP_HOST")
        if self._hosts is not None and not self._is_known(host):
            raise Refusal(421, "unknown_host", CODES["unknown_host"])
        if "HTTP_ORIGIN" in environ and environ["REQUEST_METHOD"] == "POST":
            self._check_origin(environ)
        if not self._is_asked():
            self._stay_open(host)
            return ANYBODY
        caller = self._caller(environ)
        if caller is None:
            raise Refusal(401, "unauthorized", CODES["unauthorized"], headers=_CHALLENGE)
        environ[CONTEXT]["token"] = caller.id
        if scope not in caller.scopes:
            raise Refusal(403, "forbidden", f"the token has not the scope {scope}, which this route asks for")
        return caller

    def _is_asked(self) -> bool:
        """Whether a token is asked for: beyond loopback always, on loopback once there are any, never with AUTH=off."""
        return not self._is_off and (self._is_required or self._tokens.are_configured)

    def may_read(self, environ: Environ, org_id: str) -> bool:
        """Return whether the caller may read what concerns the org. Refuses nothing."""
        try:
            return self.admit(environ, "read").sees(org_id)
        except (Refusal, LeadscoreError):
            return False

    def _stay_open(self, host: str | None) -> None:
        if len(self.open_to) < MOST_HOSTS:
            self.open_to.add(host)
        self.open_until_seconds = monotonic() + OPEN_SECONDS

    def _caller(self, environ: Environ) -> Token | None:
        scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        scheme = scheme.lower()
        if scheme == "basic":
            credentials = _password_in(credentials)
        return self._tokens.find(credentials) if scheme in ("bearer", "basic") else None

    def _is_known_host(self, header: str | None) -> bool:
        """Return whether the host is one of ours; a browser always sends the header."""
        if header is None or self._hosts is None:
            return True
        return host_name(header) in self._hosts

    def _check_origin(self, environ: Environ) -> None:
        if not is_own_origin(environ["HTTP_ORIGIN"], environ.get("HTTP_HOST", ""), self._public_origin):
            raise Refusal(403, "foreign_origin", CODES["foreign_origin"])


def check_org(caller: Token, org_id: str) -> None:
    """Raise Refusal 403 when the caller may not know of the org, whether there is such an org or not."""
    if not caller.sees(org_id):
        raise Refusal(403, "forbidden", "the token is not for this org")


def caller() -> Token:
    """Return who asked for what is being answered."""
    token: Token = request.environ[CALLER]
    return token


def may_read(org_id: str) -> bool:
    """Return whether who asked may read what concerns the org."""
    access: Access = current_app.extensions[ACCESS]
    return access.may_read(request.environ, org_id)


def _known_hosts(settings: Settings) -> frozenset[str] | None:
    """Return the host names that a request may name; None where any will do.

    On loopback they are checked, because a page of any site can make its own name point to this machine.
    """
    if not settings.is_on_loopback and settings.allowed_hosts is None:
        return None
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return own_names((own, *(settings.allowed_hosts or ())), settings.server_url)


def _password_in(credentials: str) -> str:
    try:
        return b64decode(credentials, validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
