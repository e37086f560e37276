"""Tokens in the running server: changed under load, never in its log, and asked for before it starts on an address."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from leadscore.settings import Settings
from leadscore.tokens import Tokens
from tests.serving.conftest import until_it_answers

PREDICT = "/api/v1/predict"
CALLERS = 3
TURNS = 6


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens.json")


@pytest.fixture
def server(
    settings: Settings, shelf: Any, tokens: Tokens, start: Callable[..., Any], free_port: Callable[[], int]
) -> Any:
    """Give the running server, which has one token, and where it listens."""
    shelf.activated()
    tokens.new(scopes=["operate"], orgs=["*"])
    port = free_port()
    process = start(
        PORT=port,
        MODEL_PATH=shelf.registry.root,
        TOKENS_FILE=tokens.path,
        DB_PORT=settings.db_port,
        DAGSTER_URL=settings.dagster_url,
        SERVER_THREADS=4,
    )
    with urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=CALLERS + 1, retries=False) as http:
        until_it_answers(process, http)
        yield process, http


def test_a_token_is_replaced_under_load_without_a_failed_request(
    server: Any, tokens: Tokens, features: dict[str, Any]
) -> None:
    """Each turn makes the next token, lets the callers change to it, and revokes the one before."""
    _, http = server
    text, token = tokens.new(scopes=["score"], orgs=["default"])
    in_use = [text]
    statuses: list[int] = []
    is_over = threading.Event()
    holding = [""] * CALLERS

    def call(number: int) -> None:
        while not is_over.is_set():
            holding[number] = in_use[0]
            headers = {"Authorization": f"Bearer {holding[number]}"}
            statuses.append(http.request("POST", PREDICT, json={"features": features}, headers=headers).status)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(TURNS):
            before = token
            text, token = tokens.new(scopes=["score"], orgs=["default"])
            in_use[0] = text
            while set(holding) != {text}:
                time.sleep(0.01)
            tokens.revoke(before.id)
            time.sleep(0.05)
    finally:
        is_over.set()
        for caller in callers:
            caller.join()
    assert len(statuses) > 50
    assert set(statuses) == {200}
    revoked = {"Authorization": f"Bearer {holding[0]}"}
    tokens.revoke(token.id)
    assert http.request("POST", PREDICT, json={"features": features}, headers=revoked).status == 401


def test_no_token_is_in_the_log_wherever_it_was_sent(server: Any, tokens: Tokens, features: dict[str, Any]) -> None:
    process, http = server
    text, token = tokens.new(scopes=["score", "activate", "train", "read"], orgs=["default"])
    secret = text.rpartition("_")[2]
    right = {"Authorization": f"Bearer {text}"}
    basic = base64.b64encode(f"{text}:{text}".encode()).decode()
    wrong = {"Authorization": f"Bearer {text}x"}
    sent = [
        ("POST", PREDICT, right, {"features": features}),
        ("POST", PREDICT, right, {"features": {**features, text: 1}}),
        ("POST", PREDICT, right, {"features": {**features, "engagement_rate": text}}),
        ("POST", PREDICT, wrong, {"features": features}),
        ("POST", PREDICT, right, {"features": features, "org_id": text}),
        ("POST", f"{PREDICT}?token={text}", right, {"features": features}),
        ("POST", f"{PREDICT}?{text}", right, {"features": features}),
        ("POST", "/api/v1/model/train?wait=0", right, {"org_id": "default"}),
        ("POST", "/api/v1/model/rollback", right, {"version": text, "reason": text}),
        ("GET", f"/api/v1/model/versions?org_id={text}", right, None),
        ("GET", f"/api/v1/model/train/{text}", right, None),
        ("GET", f"/{text}", right, None),
        ("GET", "/docs", {**right, "X-Request-ID": text}, None),
        ("GET", "/docs", {**right, "User-Agent": text, "Origin": text, "Accept": text}, None),
        ("GET", "/docs", {**right, "Host": text}, None),
        ("GET", "/docs", {"Authorization": f"Basic {basic}"}, None),
    ]
    statuses = [http.request(method, path, headers=headers, json=body).status for method, path, headers, body in sent]
    assert set(statuses) <= {200, 400, 401, 403, 404, 406, 421, 422, 503}
    assert statuses[0] == 200
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert f'"token":"{token.id}"' in out
    assert out.count('"POST') >= 9
    assert secret not in out + err


@pytest.mark.parametrize(("host", "says"), [("0.0.0.0", "has no tokens"), ("127.0.0.1", None)])
def test_beyond_loopback_the_server_does_not_start_without_a_token(  # noqa: PLR0917 (fixtures, and a row)
    shelf: Any, tokens: Tokens, start: Callable[..., Any], free_port: Callable[[], int], host: str, says: str | None
) -> None:
    port = free_port()
    process = start(HOST=host, PORT=port, MODEL_PATH=shelf.registry.root, TOKENS_FILE=tokens.path)
    if says is None:
        with urllib3.HTTPConnectionPool("127.0.0.1", port, retries=False) as http:
            until_it_answers(process, http)
            assert http.request("GET", "/docs").status == 200
    else:
        assert process.wait(30) == 1
        assert says in process.stderr.read()
