"""The guard in front of Dagster's webserver, which itself asks for no password and accepts requests of any site's page.

It checks the head of each request and WebSocket, and refuses it with a short text or passes it on. It is an ASGI app,
and knows only three of Dagster's paths.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from leadscore.errors import TokensUnavailable
from leadscore.hosts import host_name, is_own_origin, origin_of, own_names
from leadscore.tokens import EVERY_ORG, Token, Tokens
from leadscore_assets.webserver.sessions import SESSION_SECONDS, Sessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

GRAPHQL = "/graphql"
HEALTH = "/server_info"
EVENTS = "/report_asset_"
COOKIE = "leadscore_dagster"
POLICY_VIOLATION = 1008
_OURS_ALONE: Headers = ((b"x-frame-options", b"SAMEORIGIN"),)
_CHALLENGE: Headers = ((b"www-authenticate", b'Basic realm="Leadscore: any name, and a token as the password"'),)
_log = logging.getLogger(__name__)


class Refusal(Exception):
    """A refused request; the text says why, and what to do."""

    def __init__(self, status: int, words: str, headers: Headers = ()) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.headers = headers


@dataclass(frozen=True)
class Names:
    """The names and the public origin by which clients may reach the webserver."""

    hosts: frozenset[str]
    public_origin: str | None

    @classmethod
    def of(cls, allowed_hosts: tuple[str, ...], *addresses: str | None, public_url: str | None) -> Names:
        """Return loopback's names, the allowed ones, and those in the addresses. `public_url` is a proxy's address."""
        public_origin = origin_of(public_url) if public_url else None
        return cls(own_names(allowed_hosts, *addresses, public_url), public_origin)


class Request:
    """The head of an HTTP request, or of a WebSocket's handshake."""

    def __init__(self, scope: Scope) -> None:
        self.is_websocket = scope["type"] == "websocket"
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.is_encrypted = scope.get("scheme") in ("https", "wss")
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])

    def header(self, name: str) -> str:
        """Return the header's value, empty when it is absent. Raises Refusal when it occurs more than once."""
        found = [value for key, value in self._headers if key == name.encode()]
        if len(found) > 1:
            raise Refusal(400, f"The header {name} occurs {len(found)} times. Send it once.")
        return found[0].decode("latin-1").strip() if found else ""

    @property
    def host(self) -> str:
        """The host and the port to which the client addressed the request."""
        return self.header("host").lower()

    @property
    def media_type(self) -> str:
        """The body's media type, without its parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def bearer(self) -> str:
        """The token of `Authorization: Bearer`, which no browser sends by itself."""
        kind, _, value = self.header("authorization").partition(" ")
        return value.strip() if kind.lower() == "bearer" else ""

    @property
    def password(self) -> str:
        """The password of `Authorization: Basic`."""
        kind, _, value = self.header("authorization").partition(" ")
        if kind.lower() != "basic":
            return ""
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""

    @property
    def session(self) -> str:
        """The value of the session cookie."""
        pairs = (part.strip().partition("=") for part in self.header("cookie").split(";"))
        return next((value for name, _, value in pairs if name == COOKIE), "")


class Guard:
    """Passes a request to Dagster's webserver or to its read-only twin, or refuses it.

    Requests of other sites' pages are always refused; the others need a token while `asks` returns True. A browser
    sends it once, as the password of Basic, and then a cookie. `internal_token` is our HTTP server's, for GraphQL only.
    """

    def __init__(
        self,
        app: App,
        read_only_app: App,
        *,
        names: Names,
        tokens: Tokens,
        asks: Callable[[], bool],
        internal_token: str | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        self._app, self._read_only_app = app, read_only_app
        self._names, self._tokens, self._asks = names, tokens, asks
        self._internal_token = internal_token
        self._sessions = sessions or Sessions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            app, headers = self._admit(request)
        except (Refusal, TokensUnavailable) as error:
            refusal = error if isinstance(error, Refusal) else Refusal(error.status, error.message)
            _log.warning("refused %r %r: %s", request.method, request.path, refusal.words)
            await _answer(refusal, request, receive, send)
        else:
            await app(scope, receive, _adding(headers, send))

    def _admit(self, request: Request) -> tuple[App, Headers]:
        _check_path(request)
        self._check_host(request)
        self._check_origin(request)
        _check_method(request)
        if request.path == HEALTH and not request.is_websocket:
            return self._app, _OURS_ALONE  # for health checks; it shows only the releases
        if request.path.startswith(EVENTS):
            return self._for_events(request), _OURS_ALONE
        if self._is_internal(request):
            return self._app, _OURS_ALONE
        if not self._asks():
            return self._app, _OURS_ALONE
        return self._by_token(request)

    def _check_host(self, request: Request) -> None:
        if host_name(request.host) not in self._names.hosts:
            raise Refusal(
                421,
                "The header Host does not name this webserver. Use localhost, or add the name to ALLOWED_HOSTS.",
            )

    def _check_origin(self, request: Request) -> None:
        origin = request.header("origin")
        is_own = is_own_origin(origin, request.host, self._names.public_origin)
        # a browser sends no Origin when a page loads an image or a script; following a link is allowed
        is_embedded = request.header("sec-fetch-site") in ("cross-site", "same-site") and (
            request.header("sec-fetch-mode") != "navigate"
        )
        if (origin and not is_own) or is_embedded:
            raise Refusal(
                403,
                "The request comes from a page of another origin. Open Dagster's own pages; behind a proxy, set"
                " DAGSTER_PUBLIC_URL to the address that browsers use.",
            )

    def _for_events(self, request: Request) -> App:
        token = self._tokens.find(request.bearer) if request.bearer and self._tokens.are_configured else None
        if token is None:
            raise Refusal(
                401,
                "To report an asset event, send `Authorization: Bearer` with a token that has the scope operate.",
                ((b"www-authenticate", b"Bearer"),),
            )
        if self._app_of(token) is not self._app:
            raise Refusal(403, "The token does not have the scope operate, which is required to report events.")
        return self._app

    def _is_internal(self, request: Request) -> bool:
        if not self._internal_token or request.is_websocket or request.path != GRAPHQL:
            return False
        return hmac.compare_digest(request.bearer.encode(), self._internal_token.encode())

    def _by_token(self, request: Request) -> tuple[App, Headers]:
        if known := self._sessions.token(request.session):
            token = self._tokens.find(known)  # a session ends when its token expires or is revoked
            if token is not None:
                return self._app_of(token), _OURS_ALONE
        text = request.bearer or request.password
        token = self._tokens.find(text) if text else None
        if token is None:
            raise Refusal(401, "Dagster's pages require a token with the scope operate or read.", _CHALLENGE)
        try:
            app = self._app_of(token)
        except Refusal as refusal:
            # a browser asks for another password only after a 401
            raise Refusal(401, refusal.words, _CHALLENGE) if request.password else refusal from None
        return app, (*_OURS_ALONE, *(self._new_session(request, text) if request.password else ()))

    def _app_of(self, token: Token) -> App:
        if EVERY_ORG not in token.orgs:
            raise Refusal(403, "The token is bound to orgs, but Dagster shows all orgs. Use a token for all orgs (*).")
        if token.may("operate"):
            return self._app
        if token.may("read"):
            return self._read_only_app
        raise Refusal(403, "The token has neither the scope operate nor the scope read. Use one that has.")

    def _new_session(self, request: Request, token: str) -> Headers:
        is_public = self._names.public_origin == f"https://{request.host}"
        secure = "; Secure" if request.is_encrypted or is_public else ""
        value = self._sessions.start(token)
        cookie = f"{COOKIE}={value}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict{secure}"
        return ((b"set-cookie", cookie.encode()),)


def _check_path(request: Request) -> None:
    # Starlette's routes end in "$", which also matches before a line feed: "/graphql\n" would reach GraphQL by GET
    if not request.path.isprintable():
        raise Refusal(400, "The path contains characters that cannot be printed. Remove them.")


def _check_method(request: Request) -> None:
    if request.is_websocket:
        if request.path != GRAPHQL:
            raise Refusal(403, f"WebSockets are accepted only at {GRAPHQL}.")
    elif request.path == GRAPHQL:
        if request.method != "POST":
            raise Refusal(405, f"{request.path} accepts only POST.", ((b"allow", b"POST"),))
        # a page can post forms and text to any site, but JSON only to its own
        if request.media_type != "application/json":
            raise Refusal(415, "GraphQL accepts only Content-Type: application/json.")
    elif not request.path.startswith(EVENTS) and request.method not in ("GET", "HEAD"):
        raise Refusal(405, "Paths other than /graphql accept only GET and HEAD.", ((b"allow", b"GET, HEAD"),))


async def _answer(refusal: Refusal, request: Request, receive: Receive, send: Send) -> None:
    if request.is_websocket:
        await receive()
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.words})
        return
    body = f"{HTTPStatus(refusal.status).phrase}: {refusal.words}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


def _adding(headers: Headers, send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return send_with_headers
