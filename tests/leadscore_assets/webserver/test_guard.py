"""The guard before Dagster's webserver, as a table of requests: which are refused, and which app gets the others."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from leadscore.tokens import Tokens
from leadscore_assets.webserver.guard import COOKIE, Guard, Names
from leadscore_assets.webserver.sessions import SESSION_SECONDS, Sessions

INTERNAL = "internal-secret-of-our-server"
NAMES = Names.of(("allowed.example",), "http://dagster-webserver:3000", public_url="https://dagster.example")
JSON = {"content-type": "application/json"}
QUERY = ("POST", "/graphql", JSON)
ADMITTED = "admitted"


@dataclass
class Answer:
    """What came back, and which app was reached: "full", "read-only" or none."""

    status: int
    headers: dict[str, str]
    body: str
    app: str | None

    @property
    def verdict(self) -> int | str:
        return ADMITTED if self.app else self.status


def app_named(name: str, reached: list[str]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(name)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    return app


@dataclass
class Front:
    """A guard in front of two apps that only say that they were reached."""

    tokens: Tokens
    now: float = 0.0

    def __post_init__(self) -> None:
        self.reached: list[str] = []
        apps = (app_named(name, self.reached) for name in ("full", "read-only"))
        sessions = Sessions(clock=lambda: self.now)
        self.guard = Guard(
            *apps,
            names=NAMES,
            tokens=self.tokens,
            asks=lambda: self.tokens.are_configured,
            internal_token=INTERNAL,
            sessions=sessions,
        )

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        scheme: str = "http",
    ) -> Answer:
        """Send a request, or open a WebSocket with the method WS, with the Host of loopback unless another is given."""
        given = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        if not any(name == "host" for name, _ in given):
            given.append(("host", "localhost:3000"))
        sent: list[dict[str, Any]] = []
        self.reached.clear()

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect" if method == "WS" else "http.request"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "websocket" if method == "WS" else "http",
            "scheme": scheme,
            "path": path,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given if value],
            **({} if method == "WS" else {"method": method}),
        }
        asyncio.run(self.guard(scope, receive, send))
        first = sent[0]
        status = {"websocket.accept": 101, "websocket.close": 403}.get(first["type"]) or first["status"]
        found = {name.decode(): value.decode() for name, value in first.get("headers", [])}
        body = b"".join(message.get("body", b"") for message in sent).decode()
        return Answer(status, found, body, self.reached[0] if self.reached else None)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens.json")


@pytest.fixture
def front(tokens: Tokens) -> Front:
    return Front(tokens)


@pytest.fixture
def new_token(tokens: Tokens) -> Callable[..., str]:
    """Give a function that makes a token; from then on they are configured."""
    return lambda scope, org="*": tokens.new(scopes=[scope], orgs=[org])[0]


def basic(token: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"anyone:{token}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def session_of(answer: Answer) -> dict[str, str]:
    return {"cookie": f"other=1; {answer.headers['set-cookie'].partition(';')[0]}"}


OPEN: dict[str, tuple[tuple[str, str, dict[str, str]], int | str]] = {
    # the host that the client believes to speak to
    "localhost": (("GET", "/", {}), ADMITTED),
    "loopback by number": (("GET", "/", {"host": "127.0.0.1:3000"}), ADMITTED),
    "loopback of IPv6": (("GET", "/", {"host": "[::1]:3000"}), ADMITTED),
    "host without a port": (("GET", "/", {"host": "LOCALHOST"}), ADMITTED),
    "the public host": (("GET", "/", {"host": "dagster.example"}), ADMITTED),
    "the service's host": (("GET", "/", {"host": "dagster-webserver:3000"}), ADMITTED),
    "an allowed host": (("GET", "/", {"host": "allowed.example:3000"}), ADMITTED),
    "another host": (("GET", "/", {"host": "attacker.example:3000"}), 421),
    "a host that begins like ours": (("GET", "/", {"host": "localhost.attacker.example"}), 421),
    "a host behind a user": (("GET", "/", {"host": "localhost:3000@attacker.example"}), 421),
    "no host": (("GET", "/", {"host": ""}), 421),
    "health under another host": (("GET", "/server_info", {"host": "attacker.example"}), 421),
    "a socket under another host": (("WS", "/graphql", {"host": "attacker.example"}), 403),
    # the page that a request comes from
    "own page": (("POST", "/graphql", {**JSON, "origin": "http://localhost:3000"}), ADMITTED),
    "own page through the proxy": (
        ("POST", "/graphql", {**JSON, "host": "dagster.example", "origin": "https://dagster.example"}),
        ADMITTED,
    ),
    "public page, host rewritten": (("POST", "/graphql", {**JSON, "origin": "https://dagster.example"}), ADMITTED),
    "another site's page": (("POST", "/graphql", {**JSON, "origin": "https://attacker.example"}), 403),
    "another port's page": (("POST", "/graphql", {**JSON, "origin": "http://localhost:5000"}), 403),
    "a page without an origin": (("POST", "/graphql", {**JSON, "origin": "null"}), 403),
    "public page without encryption": (("POST", "/graphql", {**JSON, "origin": "http://dagster.example"}), 403),
    "own page's socket": (("WS", "/graphql", {"origin": "http://localhost:3000"}), ADMITTED),
    "a program's socket": (("WS", "/graphql", {}), ADMITTED),
    "another site's socket": (("WS", "/graphql", {"origin": "https://attacker.example"}), 403),
    "another port's socket": (("WS", "/graphql", {"origin": "http://localhost:5000"}), 403),
    "a socket elsewhere": (("WS", "/logs", {}), 403),
    "a picture on another site's page": (
        ("GET", "/logs/a.out", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
        403,
    ),
    "a script on another port's page": (
        ("GET", "/x.js", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}),
        403,
    ),
    "a link on another site's page": (
        ("GET", "/runs/1", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}),
        ADMITTED,
    ),
    "own picture": (("GET", "/x.svg", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors"}), ADMITTED),
    # GraphQL
    "GraphQL": (QUERY, ADMITTED),
    "GraphQL with a charset": (("POST", "/graphql", {"content-type": "application/json; charset=utf-8"}), ADMITTED),
    "GraphQL by GET": (("GET", "/graphql", {}), 405),
    "GraphQL by HEAD": (("HEAD", "/graphql", {}), 405),
    "GraphQL by OPTIONS": (("OPTIONS", "/graphql", {}), 405),
    "GraphQL by GET behind a line feed": (("GET", "/graphql\n", {}), 400),
    "GraphQL by a form": (("POST", "/graphql", {"content-type": "application/x-www-form-urlencoded"}), 415),
    "GraphQL by a form with parts": (("POST", "/graphql", {"content-type": "multipart/form-data; boundary=x"}), 415),
    "GraphQL as text": (("POST", "/graphql", {"content-type": "text/plain"}), 415),
    "GraphQL as text that looks like JSON": (
        ("POST", "/graphql", {"content-type": "text/plain; application/json"}),
        415,
    ),
    "GraphQL without a type": (("POST", "/graphql", {}), 415),
    "GraphQL as GraphQL": (("POST", "/graphql", {"content-type": "application/graphql"}), 415),
    # everything else
    "health": (("GET", "/server_info", {}), ADMITTED),
    "a page by POST": (("POST", "/", JSON), 405),
    "health by POST": (("POST", "/server_info", JSON), 405),
    "DELETE": (("DELETE", "/runs/1", {}), 405),
    "GraphQL with a slash by POST": (("POST", "/graphql/", JSON), 405),
    # events of assets
    "a materialization": (("POST", "/report_asset_materialization/x", {}), 401),
    "a materialization as JSON": (("POST", "/report_asset_materialization/x", JSON), 401),
    "an observation": (("POST", "/report_asset_observation/x", {}), 401),
    "a check": (("POST", "/report_asset_check/x", {}), 401),
    "an event with a token that is none": (("POST", "/report_asset_check/x", bearer("lsk_x")), 401),
    "an event with the internal token": (("POST", "/report_asset_check/x", bearer(INTERNAL)), 401),
}


@pytest.mark.parametrize("name", OPEN)
def test_without_tokens_requests_of_other_sites_are_refused_and_all_others_admitted(front: Front, name: str) -> None:
    request, expected = OPEN[name]
    answer = front.ask(*request)
    assert answer.verdict == expected
    assert answer.app in (None, "full")


@pytest.mark.parametrize("name", [name for name, (_, expected) in OPEN.items() if isinstance(expected, int)])
def test_a_token_opens_none_of_what_is_refused_to_everybody(
    front: Front, new_token: Callable[..., str], name: str
) -> None:
    (method, path, headers), expected = OPEN[name]
    if expected != 401:
        assert front.ask(method, path, {**headers, **bearer(new_token("operate"))}).verdict == expected


def test_a_header_that_is_there_twice_is_refused(front: Front) -> None:
    for name, values in {
        "host": ("localhost:3000", "attacker.example"),
        "origin": ("http://localhost:3000", "https://attacker.example"),
        "content-type": ("application/json", "text/plain"),
    }.items():
        twice = [("content-type", "application/json"), *((name, value) for value in values)]
        assert front.ask("POST", "/graphql", twice).status == 400, name


def test_a_refusal_says_what_to_do_and_repeats_nothing_of_the_request(front: Front) -> None:
    for name, (request, expected) in OPEN.items():
        if isinstance(expected, int) and request[0] not in ("WS", "HEAD"):
            body = front.ask(*request).body
            assert body.endswith(".\n"), name
            assert "attacker" not in body, name


def test_no_other_site_may_frame_a_page(front: Front) -> None:
    assert front.ask("GET", "/").headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize("request_of", [("GET", "/", {}), ("GET", "/logs/a.out", {}), QUERY, ("HEAD", "/", {})])
def test_with_tokens_whoever_shows_none_is_asked_for_one(
    front: Front, new_token: Callable[..., str], request_of: Any
) -> None:
    new_token("score")
    answer = front.ask(*request_of)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert front.ask("WS", "/graphql").verdict == 403
    assert front.ask("GET", "/server_info").verdict == ADMITTED


@pytest.mark.parametrize(
    ("scope", "org", "app"),
    [
        ("operate", "*", "full"),
        ("read", "*", "read-only"),
        ("operate", "acme", None),
        ("read", "acme", None),
        *((scope, "*", None) for scope in ("score", "train", "activate", "metrics")),
    ],
)
def test_a_token_reaches_what_its_scope_and_its_orgs_allow(
    front: Front, new_token: Callable[..., str], scope: str, org: str, app: str | None
) -> None:
    token = new_token(scope, org)
    for request in (QUERY, ("GET", "/", {}), ("WS", "/graphql", {})):
        method, path, headers = request
        answer = front.ask(method, path, {**headers, **bearer(token)})
        assert answer.app == app
        assert "set-cookie" not in answer.headers  # a program has no use for a session
        assert answer.status == ((101 if method == "WS" else 200) if app else 403)
    answer = front.ask("GET", "/", basic(token))
    assert answer.app == app
    assert answer.status == (200 if app else 401)  # so that a browser asks for another one
    event = front.ask("POST", "/report_asset_materialization/x", bearer(token))
    assert event.status == (200 if app == "full" else 403)


def test_a_browser_shows_its_token_once_and_goes_on_by_a_cookie(front: Front, new_token: Callable[..., str]) -> None:
    for scope, app in {"operate": "full", "read": "read-only"}.items():
        token = new_token(scope)
        first = front.ask("GET", "/", basic(token))
        value, *attributes = first.headers["set-cookie"].split("; ")
        assert set(attributes) == {"Path=/", f"Max-Age={SESSION_SECONDS}", "HttpOnly", "SameSite=Strict"}
        assert value.startswith(f"{COOKIE}=")
        assert token not in value
        for request in (("GET", "/runs", {}), QUERY, ("WS", "/graphql", {})):
            method, path, headers = request
            answer = front.ask(method, path, {**headers, **session_of(first)})
            assert answer.app == app
            assert "set-cookie" not in answer.headers


def test_a_session_ends_with_its_time_and_with_its_token(
    front: Front, tokens: Tokens, new_token: Callable[..., str]
) -> None:
    token, kept = new_token("operate"), new_token("operate")
    session = session_of(front.ask("GET", "/", basic(token)))
    tokens.revoke(token.split("_")[1])
    assert front.ask("GET", "/", session).status == 401
    session = session_of(front.ask("GET", "/", basic(kept)))
    front.now = SESSION_SECONDS
    assert front.ask("GET", "/", session).status == 401


def test_a_session_does_not_open_what_only_a_program_may_do(front: Front, new_token: Callable[..., str]) -> None:
    session = session_of(front.ask("GET", "/", basic(new_token("operate"))))
    assert front.ask("POST", "/report_asset_check/x", session).status == 401
    foreign = {**session, **JSON, "origin": "http://localhost:5000"}
    assert front.ask("POST", "/graphql", foreign).status == 403
    assert front.ask("WS", "/graphql", foreign).status == 403


@pytest.mark.parametrize(
    ("scheme", "host", "is_secure"),
    [("http", "localhost:3000", False), ("https", "localhost:3000", True), ("http", "dagster.example", True)],
)
def test_the_cookie_is_kept_to_encrypted_connections_where_there_are_any(
    front: Front, new_token: Callable[..., str], scheme: str, host: str, is_secure: bool
) -> None:
    answer = front.ask("GET", "/", {"host": host, **basic(new_token("operate"))}, scheme=scheme)
    assert answer.headers["set-cookie"].endswith("; Secure") is is_secure


def test_the_internal_token_opens_graphql_alone(front: Front, new_token: Callable[..., str]) -> None:
    new_token("score")
    assert front.ask("POST", "/graphql", {**JSON, **bearer(INTERNAL)}).app == "full"
    assert front.ask("POST", "/graphql", {**JSON, **bearer(INTERNAL + "x")}).status == 401
    assert front.ask("POST", "/graphql", {**JSON, **basic(INTERNAL)}).status == 401
    assert front.ask("GET", "/", bearer(INTERNAL)).status == 401
    assert front.ask("WS", "/graphql", bearer(INTERNAL)).status == 403
    assert front.ask("POST", "/graphql", {**JSON, **bearer(INTERNAL), "origin": "https://a.example"}).status == 403


@pytest.mark.parametrize("value", ["Basic", "Basic ?", "Basic /w==", "Bearer", "Bearer ", "Digest x", "x", "Bearer é"])
def test_an_authorization_that_is_none_is_asked_for_again(
    front: Front, new_token: Callable[..., str], value: str
) -> None:
    new_token("operate")
    assert front.ask("POST", "/graphql", {**JSON, "authorization": value}).status == 401


def test_a_file_of_tokens_that_is_damaged_or_gone_lets_nobody_in(
    front: Front, tokens: Tokens, new_token: Callable[..., str]
) -> None:
    token = new_token("operate")
    assert front.ask("GET", "/", bearer(token)).app == "full"
    assert tokens.path is not None
    tokens.path.write_text("{")
    assert front.ask("GET", "/", bearer(token)).status == 503
    tokens.path.unlink()
    assert front.ask("GET", "/", bearer(token)).status == 503
    assert front.ask("GET", "/").status == 401
    assert front.ask("POST", "/graphql", {**JSON, **bearer(INTERNAL)}).app == "full"
