"""Who may do what: every route, asked with every kind of token, for every kind of org.

What a token lets in is answered as a server answers that asks nobody; every other status follows from one table.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from leadscore.errors import CannotRun, TokensUnavailable
from leadscore.pooling import POOLED
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore.tokens import EVERY_ORG, SCOPES, Tokens
from serving.api.access import ACCESS
from serving.api.endpoint import Endpoint
from serving.api.openapi import openapi_document
from serving.app import create_app
from serving.dependencies.dagster_client import JOB, PARTITION_TAG, TOKEN_TAG, AskedTraining, Run, _Tag
from serving.server.startup import check_tokens
from serving.services import EXTENSION, Services
from serving.telemetry.json_logging import Line, _encoded

# what a route asks for: a scope, and whose it is: an org's, a run's, every org's or no org's
ROUTES: dict[tuple[str, str], tuple[str | None, str]] = {
    ("POST", "/api/v1/predict"): ("score", "org"),
    ("POST", "/api/v1/predict/batch"): ("score", "org"),
    ("GET", "/api/v1/model/info"): ("read", "org"),
    ("GET", "/api/v1/model/feature-importance"): ("read", "org"),
    ("GET", "/api/v1/model/versions"): ("read", "org"),
    ("GET", "/api/v1/model/activations"): ("read", "org"),
    ("GET", "/api/v1/model/performance"): ("read", "org"),
    ("GET", "/api/v1/model/report"): ("read", "org"),
    ("GET", "/api/v1/model/readiness"): ("read", "org"),
    ("GET", "/api/v1/leads"): ("read", "org"),
    ("GET", "/api/v1/leads/<path:lead_id>"): ("read", "org"),
    ("GET", "/api/v1/grades"): ("read", "org"),
    ("POST", "/api/v1/grades"): ("activate", "org"),
    ("GET", "/api/v1/orgs"): ("read", "none"),
    ("GET", "/"): ("read", "none"),
    ("GET", "/orgs/<org_id>"): ("read", "org"),
    ("POST", "/api/v1/model/rollback"): ("activate", "org"),
    ("POST", "/api/v1/model/train"): ("train", "org"),
    ("GET", "/api/v1/model/train/<run_id>"): ("train", "run"),
    ("GET", "/metrics"): ("metrics", "every"),
    ("GET", "/docs"): ("read", "none"),
    ("GET", "/openapi.json"): ("read", "none"),
    ("GET", "/health"): (None, "none"),
    ("GET", "/health/live"): (None, "none"),
    ("GET", "/health/ready"): (None, "none"),
}
OWN, FOREIGN, UNKNOWN = "own-org", "foreign", "unknown"
ORGS = (OWN, FOREIGN, UNKNOWN, POOLED)
RUNS = {org: f"00000000-0000-4000-8000-{number:012d}" for number, org in enumerate(ORGS)}
NO_RUN_OF = (UNKNOWN,)
# a token's kind, its scopes and its orgs; the first ones open nothing
REFUSED = ("none", "malformed", "wrong secret", "unknown id", "expired", "revoked", "wrong scheme")
GRANTED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{f"{scope} alone": ((scope,), (OWN,)) for scope in SCOPES},
    **{f"{scope} alone, every org": ((scope,), (EVERY_ORG,)) for scope in SCOPES},
    "all scopes": (SCOPES, (OWN,)),
    "all scopes, another org": (SCOPES, ("third",)),
    "all scopes, two orgs": (SCOPES, (OWN, FOREIGN)),
    "all scopes, the pool": (SCOPES, (POOLED,)),
    "all scopes, every org": (SCOPES, (EVERY_ORG,)),
}


class FakeDagster:
    """Knows a running training of each org that there is, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.launched: list[tuple[str, str, str]] = []

    def run(self, run_id: str) -> Run | None:
        self.asked.append("run")
        org_id = next((org for org, known in RUNS.items() if known == run_id and org not in NO_RUN_OF), None)
        return None if org_id is None else Run(run_id, "STARTED", JOB, [_Tag(PARTITION_TAG, org_id)])

    def active_run(self, _org_id: str) -> None:
        self.asked.append("active_run")

    def queued_runs(self, _most: int) -> int:
        self.asked.append("queued_runs")
        return 0

    def add_partition(self, _org_id: str) -> None:
        self.asked.append("add_partition")

    def launch(self, asked: AskedTraining) -> str:
        self.launched.append((asked.org_id, asked.request_id, asked.token_id))
        return RUNS[asked.org_id]


class Untouchable:
    """What must not be looked at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was looked up")


@dataclass(frozen=True)
class Asked:
    """An answer, as callers may compare two of them: without what differs from request to request."""

    status: int
    headers: dict[str, str]
    body: str


@pytest.fixture
def tokens(tmp_path: Any) -> Tokens:
    return Tokens(tmp_path / "tokens.json")


@pytest.fixture
def guarded(settings: Settings, shelf: Any, tokens: Tokens) -> Flask:
    """Give the app, with tokens, and a version of two orgs."""
    shelf.activated(OWN)
    shelf.activated(FOREIGN, high=0.9)
    tokens.new(scopes=["operate"], orgs=[EVERY_ORG])
    return _app(replace(settings, tokens_file=tokens.path, pooled_model=True))


@pytest.fixture
def opened(guarded: Flask) -> Flask:
    """Give the same app, which asks nobody for a token."""
    services: Services = guarded.extensions[EXTENSION]
    return _app(replace(services.settings, auth="OFF"))


def _app(settings: Settings) -> Flask:
    app = create_app(settings)
    app.extensions[EXTENSION].trainings._dagster = FakeDagster()
    return app


def dagster_of(app: Flask) -> FakeDagster:
    return app.extensions[EXTENSION].trainings._dagster


def text_of(kind: str, tokens: Tokens) -> str | None:
    """Return the header Authorization of a kind of token."""
    if kind in GRANTED:
        scopes, orgs = GRANTED[kind]
        return f"Bearer {tokens.new(scopes=scopes, orgs=orgs)[0]}"
    text, token = tokens.new(
        scopes=SCOPES,
        orgs=[EVERY_ORG],
        expires_at=datetime.now(UTC) + timedelta(seconds=0.05 if kind == "expired" else 60),
    )
    if kind == "expired":
        while not token.is_expired(datetime.now(UTC)):
            pass
    if kind == "revoked":
        tokens.revoke(token.id)
    prefix, token_id, secret = text.split("_")
    return {
        "none": None,
        "malformed": "Bearer lsk_",
        "wrong secret": f"Bearer {prefix}_{token_id}_{'0' * len(secret)}",
        "unknown id": f"Bearer {prefix}_{'0' * len(token_id)}_{secret}",
        "expired": f"Bearer {text}",
        "revoked": f"Bearer {text}",
        "wrong scheme": f"Token {text}",
    }[kind]


def ask(  # noqa: PLR0917 (a row of the table)
    app: Flask, method: str, route: str, org: str, features: dict[str, Any], authorization: str | None
) -> Asked:
    path = route.replace("<run_id>", RUNS[org]).replace("<path:lead_id>", "lead-1").replace("<org_id>", org)
    headers = {"Authorization": authorization} if authorization else {}
    if method == "POST":
        body = {
            "/api/v1/predict": {"features": features},
            "/api/v1/predict/batch": {"batch": [features]},
            "/api/v1/model/rollback": {"version": "20000101000000"},
            "/api/v1/model/train": {},
            "/api/v1/grades": {"rule": "base_rate"},
        }[route]
        query = "?wait=0" if route.endswith("/train") else ""
        answer = app.test_client().post(path + query, json={"org_id": org, **body}, headers=headers)
    else:
        is_in_query = (ROUTES[method, route][1] == "org" and "<org_id>" not in route) or route == "/health"
        query = f"?org_id={org}" if is_in_query else ""
        answer = app.test_client().get(path + query, headers=headers)
    kept = {name: value for name, value in answer.headers.items() if name != "X-Request-ID"}
    return Asked(answer.status_code, kept, _without_ids(answer.get_data(as_text=True), answer.headers["X-Request-ID"]))


def _without_ids(body: str, request_id: str) -> str:
    for name in (request_id, *ORGS, *RUNS.values()):
        body = body.replace(name, "ID")
    return body


def expected(kind: str, scope: str | None, whose: str, org: str) -> int | None:
    """Return the status of a refusal; None for what is let in."""
    if scope is None:
        return None
    if kind in REFUSED:
        return 401
    scopes, orgs = GRANTED[kind]
    if scope not in scopes:
        return 403
    is_seen = {"org": org in orgs, "run": org in orgs, "every": False, "none": True}[whose] or EVERY_ORG in orgs
    return None if is_seen else (404 if whose == "run" else 403)


def test_every_route_is_in_the_table_with_its_scope(guarded: Flask) -> None:
    found = {
        (method, rule.rule): guarded.view_functions[rule.endpoint].scope
        for rule in guarded.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert found == {route: scope for route, (scope, _) in ROUTES.items()}
    assert all(isinstance(view, Endpoint) for view in guarded.view_functions.values())


def test_every_route_answers_every_token_for_every_org_as_the_table_says(
    guarded: Flask, opened: Flask, tokens: Tokens, features: dict[str, Any]
) -> None:
    texts = {kind: text_of(kind, tokens) for kind in (*REFUSED, *GRANTED)}
    differences, rows = [], 0
    for (method, route), (scope, whose) in ROUTES.items():
        for org in ORGS:
            let_in = ask(opened, method, route, org, features, None)
            for kind, text in texts.items():
                status = expected(kind, scope, whose, org)
                answer = ask(guarded, method, route, org, features, text)
                rows += 1
                if answer.status != (let_in.status if status is None else status):
                    differences.append((method, route, org, kind, answer, status))
    assert rows == len(ROUTES) * len(ORGS) * len(texts) > 1_500
    assert differences == []


def test_a_foreign_org_and_an_unknown_one_are_answered_alike_to_the_byte(
    guarded: Flask, tokens: Tokens, features: dict[str, Any]
) -> None:
    bound = [kind for kind, (_, orgs) in GRANTED.items() if not {FOREIGN, EVERY_ORG} & set(orgs)]
    for kind in (*REFUSED, *bound):
        text = text_of(kind, tokens)
        for method, route in ROUTES:
            foreign, unknown = (ask(guarded, method, route, org, features, text) for org in (FOREIGN, UNKNOWN))
            lengths = [answer.headers.pop("Content-Length", None) for answer in (foreign, unknown)]
            assert foreign == unknown, (kind, method, route)
            assert route in ("/metrics", "/health") or lengths[0] == lengths[1]


def test_nothing_is_looked_up_for_who_may_not_know_of_the_org(
    guarded: Flask, tokens: Tokens, features: dict[str, Any]
) -> None:
    """So an org that exists cannot be told from another by the time that the answer takes, either."""
    services: Services = guarded.extensions[EXTENSION]
    nothing: Any = Untouchable()
    guarded.extensions[EXTENSION] = replace(
        services,
        registry=nothing,
        models=nothing,
        trainings=nothing,
        readiness=nothing,
        database=nothing,
        crm=nothing,
        call_list=nothing,
        grade_rules=nothing,
        grade_moves=nothing,
        org_health=nothing,
    )
    text = text_of("all scopes, another org", tokens)
    for (method, route), (_, whose) in ROUTES.items():
        if whose == "org":
            for org in ORGS:
                assert ask(guarded, method, route, org, features, text).status == 403


def test_a_foreign_run_costs_dagster_the_one_question_that_an_unknown_run_costs(
    guarded: Flask, tokens: Tokens, features: dict[str, Any]
) -> None:
    text = text_of("all scopes", tokens)
    for org in (FOREIGN, UNKNOWN, POOLED):
        assert ask(guarded, "GET", "/api/v1/model/train/<run_id>", org, features, text).status == 404
    assert dagster_of(guarded).asked == ["run"] * 3


def test_only_who_may_read_the_org_sees_more_of_health_than_its_status(
    guarded: Flask, tokens: Tokens, features: dict[str, Any]
) -> None:
    for kind in (*REFUSED, *GRANTED):
        text = text_of(kind, tokens)
        scopes, orgs = GRANTED.get(kind, ((), ()))
        for org in ORGS:
            seen = json.loads(ask(guarded, "GET", "/health", org, features, text).body)
            is_full = "read" in scopes and bool({org, EVERY_ORG} & set(orgs))
            assert set(seen) == {"status"} or (is_full and len(seen) == (11 if EVERY_ORG in orgs else 10)), (kind, org)
            assert seen["status"] == "degraded"


@pytest.fixture
def client_of(guarded: Flask) -> Callable[..., FlaskClient]:
    def with_token(text: str) -> FlaskClient:
        client = guarded.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = text
        return client

    return with_token


def test_a_browser_is_asked_for_a_password_and_sends_the_token_as_it(guarded: Flask, tokens: Tokens) -> None:
    refused = guarded.test_client().get("/docs")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith('Basic realm="leadscore"')
    assert "Bearer" in refused.headers["WWW-Authenticate"]
    text, _ = tokens.new(scopes=["read"], orgs=[OWN])
    for user in ("", "anna", "an:na"):
        shown = guarded.test_client().get("/docs", auth=(user, text))
        assert shown.status_code == (401 if ":" in user else 200)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic %%%",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic Og==",
        "\xe9",
    ],
)
def test_a_header_that_is_no_token_is_401_and_nothing_worse(guarded: Flask, header: str) -> None:
    answer = guarded.test_client().get("/openapi.json", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json["code"] == "unauthorized"


def test_a_revoked_and_an_expired_token_are_answered_as_one_that_never_was(
    guarded: Flask, tokens: Tokens, features: dict[str, Any]
) -> None:
    answers = [ask(guarded, "POST", "/api/v1/predict", OWN, features, text_of(kind, tokens)) for kind in REFUSED]
    assert all(answer == answers[0] for answer in answers)


def test_a_damaged_file_of_tokens_lets_nobody_in_and_says_so(
    guarded: Flask, tokens: Tokens, features: dict[str, Any]
) -> None:
    text = text_of("all scopes, every org", tokens)
    assert ask(guarded, "POST", "/api/v1/predict", OWN, features, text).status == 200
    good = tokens.path.read_bytes()
    for spoil in (lambda: tokens.path.write_bytes(good[:-20]), tokens.path.unlink):
        spoil()
        for kind in (text, None):
            answer = ask(guarded, "POST", "/api/v1/predict", OWN, features, kind)
            assert answer.status == (401 if kind is None else 503)
        assert (
            json.loads(ask(guarded, "POST", "/api/v1/predict", OWN, features, text).body)["code"]
            == "tokens_unavailable"
        )
        assert ask(guarded, "GET", "/health/live", OWN, features, None).status == 200
    tokens.path.write_bytes(good)
    assert ask(guarded, "POST", "/api/v1/predict", OWN, features, text).status == 200


def test_the_first_token_closes_an_open_server_within_a_second(
    settings: Settings, shelf: Any, tokens: Tokens, features: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(replace(settings, tokens_file=tokens.path))
    shelf.activated(OWN)
    assert ask(app, "POST", "/api/v1/predict", OWN, features, None).status == 200
    tokens.new(scopes=["read"], orgs=[OWN])
    app.extensions[ACCESS].open_until_seconds -= 1  # the second is over
    assert ask(app, "POST", "/api/v1/predict", OWN, features, None).status == 401


# who acted


def test_the_tokens_id_stands_in_the_history_in_the_runs_tags_and_in_the_log(
    guarded: Flask, shelf: Any, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.activated(OWN)
    text, token = tokens.new(scopes=["activate", "train"], orgs=[OWN])
    services: Services = guarded.extensions[EXTENSION]
    version = services.registry.versions(OWN)[-1]
    headers = {"Authorization": f"Bearer {text}", "X-Request-ID": "request-17"}
    with caplog.at_level("INFO"):
        rolled = guarded.test_client().post(
            "/api/v1/model/rollback", json={"org_id": OWN, "version": version}, headers=headers
        )
        trained = guarded.test_client().post("/api/v1/model/train?wait=0", json={"org_id": OWN}, headers=headers)
    assert (rolled.status_code, trained.status_code) == (200, 202)
    assert services.registry.history(OWN).entries[-1].by == f"token {token.id}, api request request-17"
    assert dagster_of(guarded).launched == [(OWN, "request-17", token.id)]
    lines = [record for record in caplog.records if record.name == "serving.requests"]
    assert [vars(line)["token"] for line in lines] == [token.id] * 2
    assert TOKEN_TAG == "leadscore/token"


def test_no_line_of_the_log_holds_a_token_wherever_a_caller_put_it(tokens: Tokens) -> None:
    text, token = tokens.new(scopes=["score"], orgs=[OWN])
    fields = {"org_id": text, "request_id": f"x-{text}", "exc_info": f"Traceback: {text} {text}"}
    line = _encoded(Line(0.0, f"GET {text}", fields), "ERROR", text).decode()
    assert text.rpartition("_")[2] not in line
    assert line.count(f"lsk_{token.id}_[secret]") == 6
    assert json.loads(line)["org_id"] == f"lsk_{token.id}_[secret]"


def test_no_answer_and_no_metric_holds_a_token(guarded: Flask, tokens: Tokens, features: dict[str, Any]) -> None:
    text, _ = tokens.new(scopes=SCOPES, orgs=[EVERY_ORG])
    for method, route in ROUTES:
        for org in ORGS:
            answer = ask(guarded, method, route, org, features, f"Bearer {text}")
            assert text not in answer.body
            assert text not in str(answer.headers)


# pages of other sites


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("LOCALHOST:5000", True),
        ("127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("scores.example", True),
        ("scores.example:443", True),
        ("proxy.example", True),
        ("evil.example", False),
        ("evil.example:5000", False),
        ("localhost.evil.example", False),
        ("localhost:5000.evil.example", False),
        ("localhost@evil.example", False),
        ("127.0.0.1,evil.example", False),
        ("127.0.0.2", False),
        ("", False),
        (":5000", False),
        ("[::1", False),
        ("\xe9", False),
    ],
)
def test_on_loopback_a_name_that_was_made_to_point_here_is_refused(
    settings: Settings, host: str, is_ours: bool
) -> None:
    app = create_app(replace(settings, server_url="https://scores.example/x", allowed_hosts=("Proxy.example",)))
    for path in ("/docs", "/api/v1/model/versions"):
        answer = app.test_client().get(path, headers={"Host": host})
        assert answer.status_code == (200 if is_ours else 421)
        assert is_ours or answer.json["code"] == "unknown_host"
    assert app.test_client().get("/health/ready", headers={"Host": host}).status_code in (200, 503)
    assert (len(app.test_client().get("/health", headers={"Host": host}).json) > 1) == is_ours


def test_beyond_loopback_any_host_will_do_unless_some_are_named(settings: Settings, tokens: Tokens) -> None:
    text, _ = tokens.new(scopes=["read"], orgs=[EVERY_ORG])
    beyond = replace(settings, host="0.0.0.0", tokens_file=tokens.path)
    headers = {"Host": "any.example", "Authorization": f"Bearer {text}"}
    assert create_app(beyond).test_client().get("/docs", headers=headers).status_code == 200
    named = create_app(replace(beyond, allowed_hosts=("scores.example",))).test_client()
    assert named.get("/docs", headers=headers).status_code == 421
    assert named.get("/docs", headers=headers | {"Host": "scores.example"}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        (None, True),
        ("http://localhost:5000", True),
        ("HTTP://LOCALHOST:5000", True),
        ("https://scores.example", True),
        ("http://localhost", False),
        ("http://localhost:8080", False),
        ("http://evil.example", False),
        ("http://localhost:5000.evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_a_page_of_another_site_may_change_nothing(
    settings: Settings, shelf: Any, features: dict[str, Any], origin: str | None, is_ours: bool
) -> None:
    shelf.activated(OWN)
    app = _app(replace(settings, server_url="https://scores.example/base"))
    client = app.test_client()
    headers = {"Host": "localhost:5000", **({} if origin is None else {"Origin": origin})}
    client.get("/docs", headers={"Host": "localhost:5000"})  # what is remembered of this changes nothing
    for method, route in ROUTES:
        if method == "POST":
            body = {"org_id": OWN, "features": features}
            answer = client.post(route, json=body, headers=headers)
            assert (answer.status_code == 403) == (not is_ours)
            assert is_ours or answer.json["code"] == "foreign_origin"
    assert dagster_of(app).launched == [] or is_ours
    assert client.get("/docs", headers=headers).status_code == 200


# the start


@pytest.mark.parametrize(
    ("host", "auth", "has_token", "starts"),
    [
        ("127.0.0.1", "AUTO", False, True),
        ("127.0.0.2", "AUTO", False, True),
        ("localhost", "AUTO", False, True),
        ("::1", "AUTO", False, True),
        ("0.0.0.0", "AUTO", False, False),
        ("::", "AUTO", False, False),
        ("10.0.0.7", "AUTO", False, False),
        ("scores.example", "AUTO", False, False),
        ("localhost.evil.example", "AUTO", False, False),
        ("0.0.0.0", "AUTO", True, True),
        ("0.0.0.0", "OFF", False, True),
    ],
)
def test_a_server_that_others_reach_starts_with_tokens_or_when_told_to(  # noqa: PLR0917 (a row of the table)
    settings: Settings, tokens: Tokens, host: str, auth: str, has_token: bool, starts: bool
) -> None:
    if has_token:
        tokens.new(scopes=["score"], orgs=[OWN])
    asked = replace(settings, host=host, auth=auth, tokens_file=tokens.path)
    if starts:
        check_tokens(asked)
    else:
        with pytest.raises(CannotRun, match=r"python -m leadscore\.tokens new"):
            check_tokens(asked)


def test_a_server_with_a_damaged_file_of_tokens_does_not_start(settings: Settings, tokens: Tokens) -> None:
    tokens.path.write_text("{")
    with pytest.raises(TokensUnavailable):
        check_tokens(replace(settings, tokens_file=tokens.path))


def test_beyond_loopback_a_token_is_asked_for_also_when_the_file_is_gone(settings: Settings, tokens: Tokens) -> None:
    app = create_app(replace(settings, host="0.0.0.0", tokens_file=tokens.path))
    assert app.test_client().get("/docs").status_code == 401


# the documents


def test_the_page_on_access_has_every_route_with_its_scope() -> None:
    page = (PROJECT_ROOT / "docs/access.md").read_text().split("## What each route requires")[1].split("## ")[0]
    rows = re.findall(r"^\| `(\w+) (\S+)` \| (?:`(\w+)`|none)", page, flags=re.MULTILINE)
    assert {(method, route): scope or None for method, route, scope in rows} == {
        (method, route.replace("<path:", "<")): scope for (method, route), (scope, _) in ROUTES.items()
    }


def test_the_description_says_which_scope_a_route_asks_for(guarded: Flask, tokens: Tokens) -> None:
    document = openapi_document(guarded)
    for (method, route), (scope, _) in ROUTES.items():
        described = document["paths"][re.sub(r"<(?:path:)?(\w+)>", r"{\1}", route)][method.lower()]
        assert described["security"] == ([{"bearer": [scope]}, {"basic": [scope]}] if scope else [])
        assert ("401" in described["responses"]) == (scope is not None)
    text, _ = tokens.new(scopes=["read"], orgs=[OWN])
    page = guarded.test_client().get("/docs", headers={"Authorization": f"Bearer {text}"}).get_data(as_text=True)
    assert page.count("Scope: <code>") == sum(scope is not None for scope, _ in ROUTES.values())
