"""Access control: checks a request's host, origin and token, and the orgs that the token is for.

A request's org is compared with the token's before anything about it is looked up. So an org that the token is not for
gets the same answer, in the same time, as one that does not exist.
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
from serving.telemetry.request_context import CONTEXT, request_id

ACCESS = "leadscore.access"
CALLER = "leadscore.caller"

Environ = Mapping[str, Any]

# stands for every caller where no token is required
ANYBODY = Token("", "", SCOPES, (EVERY_ORG,), datetime(1970, 1, 1, tzinfo=UTC))
MOST_HOSTS = 1_024
OPEN_SECONDS = 1.0
# browsers use the first scheme: the token is the password, with any user name
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="leadscore", charset="UTF-8", Bearer realm="leadscore"'}


class Access:
    """The rules of one server, made from its settings.

    Where no token is required, `open_to` holds the hosts of admitted requests. Until `open_until_seconds` (monotonic
    clock), further requests to these hosts are admitted unchecked. So tokens are required at most OPEN_SECONDS after
    the first one was made.
    """

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._tokens = tokens
        self._is_off, self._is_required = settings.auth == "OFF", not settings.is_on_loopback
        self._hosts = _known_hosts(settings)
        self.open_to: set[str | None] = set()
        self.open_until_seconds = 0.0
        self._public_origin = origin_of(settings.server_url) if settings.server_url else None
        # most requests name one of a few hosts
        self._is_known = lru_cache(MOST_HOSTS)(self._is_known_host)

    def admit(self, environ: Environ, scope: str) -> Token:
        """Return the caller's token if it has the scope. Raises Refusal 401, 403 or 421, or TokensUnavailable.

        Also refuses pages of other sites: one whose host name was pointed at this server, or one that posts here.
        """
        host = environ.get("HTTP_HOST")
        if self._hosts is not None and not self._is_known(host):
            raise Refusal(421, "unknown_host", CODES["unknown_host"])
        if "HTTP_ORIGIN" in environ and environ["REQUEST_METHOD"] == "POST":
            self._check_origin(environ)
        if not self._is_token_required():
            self._stay_open(host)
            return ANYBODY
        caller = self._caller(environ)
        if caller is None:
            raise Refusal(401, "unauthorized", CODES["unauthorized"], headers=_CHALLENGE)
        environ[CONTEXT]["token"] = caller.id
        if scope not in caller.scopes:
            raise Refusal(403, "forbidden", f"the token does not have the scope {scope}, which this route requires")
        return caller

    def _is_token_required(self) -> bool:
        """Whether a token is required: beyond loopback always, on loopback once there are any, never with AUTH=OFF."""
        return not self._is_off and (self._is_required or self._tokens.are_configured)

    def may_read(self, environ: Environ, org_id: str) -> bool:
        """Return whether the caller may read about the org. Raises no Refusal."""
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
        """Return whether Host names this server. Without the header it is true, because every browser sends it."""
        if header is None or self._hosts is None:
            return True
        return host_name(header) in self._hosts

    def _check_origin(self, environ: Environ) -> None:
        if not is_own_origin(environ["HTTP_ORIGIN"], environ.get("HTTP_HOST", ""), self._public_origin):
            raise Refusal(403, "foreign_origin", CODES["foreign_origin"])


def check_org(caller: Token, org_id: str) -> None:
    """Raise Refusal 403 when the token is not for the org, whether the org exists or not."""
    if not caller.sees(org_id):
        raise Refusal(403, "forbidden", "the token is not for this org")


def caller() -> Token:
    """Return the token of the current request's caller."""
    token: Token = request.environ[CALLER]
    return token


def asker() -> str:
    """Return who asks, as it is kept with what they change: the token's id, when one is required, and the request's."""
    asked_by = f"api request {request_id()}"
    return f"token {caller().id}, {asked_by}" if caller().id else asked_by


def may_read(org_id: str) -> bool:
    """Return whether the current request's caller may read about the org."""
    access: Access = current_app.extensions[ACCESS]
    return access.may_read(request.environ, org_id)


def _known_hosts(settings: Settings) -> frozenset[str] | None:
    """Return the names that the header Host may have; None where any name is accepted.

    On loopback the header is checked, because a page of any site can point its own host name at this machine.
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
