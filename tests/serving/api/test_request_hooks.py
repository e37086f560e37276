"""Around every request: Flask's own hooks work, and the record and the headers are those of every answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask import Flask, Response

PREDICT = "/api/v1/predict"


def refuse() -> Response:
    return Response("not allowed", 403)


def with_header(response: Response) -> Response:
    response.headers["X-Hook"] = "ran"
    response.headers["Content-Language"] = "en"
    return response


def test_a_before_request_hook_protects_every_route(app: Flask, shelf: Any, features: dict[str, Any]) -> None:
    shelf.activated()
    app.before_request(refuse)
    client = app.test_client()
    answers = [client.post(PREDICT, json={"features": features}), client.get("/health"), client.get("/nowhere")]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert all(answer.headers["X-Request-ID"] for answer in answers)


def test_a_hook_of_a_blueprint_protects_its_routes(app: Flask, shelf: Any, features: dict[str, Any]) -> None:
    shelf.activated()
    app.before_request_funcs.setdefault("scoring", []).append(refuse)
    client = app.test_client()
    assert client.post(PREDICT, json={"features": features}).status_code == 403
    assert client.get("/health").status_code == 200


def test_an_after_request_hook_changes_every_answer(app: Flask, shelf: Any, features: dict[str, Any]) -> None:
    """What a prediction answers is a response like any other, whose headers a hook may change."""
    shelf.activated()
    app.after_request(with_header)
    client = app.test_client()
    for answer in (client.post(PREDICT, json={"features": features}), client.get("/health"), client.get("/nowhere")):
        assert (answer.headers["X-Hook"], answer.headers["Content-Language"]) == ("ran", "en")
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        assert answer.json


def test_a_hook_for_one_request_changes_its_answer(app: Flask, shelf: Any, features: dict[str, Any]) -> None:
    shelf.activated()

    def ask_for_header() -> None:
        flask.after_this_request(with_header)

    app.before_request(ask_for_header)
    answer = app.test_client().post(PREDICT, json={"features": features})
    assert (answer.status_code, answer.headers["X-Hook"]) == (200, "ran")


def test_a_session_of_ones_own_is_saved(app: Flask, shelf: Any, features: dict[str, Any]) -> None:
    shelf.activated()
    app.secret_key, app.session_interface = "secret", flask.sessions.SecureCookieSessionInterface()

    def remember() -> None:
        flask.session["seen"] = True

    app.before_request(remember)
    answer = app.test_client().post(PREDICT, json={"features": features})
    assert (answer.status_code, "session=" in answer.headers["Set-Cookie"]) == (200, True)


@pytest.mark.parametrize("register", [Flask.teardown_request, Flask.teardown_appcontext])
def test_a_teardown_hook_runs_after_each_request(
    register: Callable[..., Any], app: Flask, shelf: Any, features: dict[str, Any]
) -> None:
    shelf.activated()
    errors: list[Any] = []
    register(app, errors.append)
    assert app.test_client().post(PREDICT, json={"features": features}).status_code == 200
    assert errors == [None]


@pytest.mark.parametrize("signal", ["request_started", "request_finished", "request_tearing_down"])
def test_who_listens_to_a_signal_hears_it(signal: str, app: Flask, shelf: Any, features: dict[str, Any]) -> None:
    shelf.activated()
    heard: list[Any] = []
    with getattr(flask, signal).connected_to(lambda sender, **_: heard.append(sender), app):
        app.test_client().post(PREDICT, json={"features": features})
    assert heard == [app]


def test_an_asynchronous_hook_is_refused_and_never_passed_over(app: Flask) -> None:
    """Flask's remedy is an extra that is not installed; a hook that silently never ran would protect nothing."""

    async def hook() -> None:
        raise AssertionError

    app.before_request(hook)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert app.test_client().get("/health").status_code == 500


@pytest.mark.parametrize("register", [Flask.teardown_request, Flask.teardown_appcontext])
def test_a_teardown_hook_that_fails_gives_one_whole_answer_and_one_record(
    register: Callable[..., Any], app: Flask, parts: Any, shelf: Any, features: dict[str, Any]
) -> None:
    """The answer that was begun is not mixed with the one about the defect, and no request counts as under way."""
    shelf.activated()

    def fail(_error: Any) -> None:
        raise ZeroDivisionError

    register(app, fail)
    answer = app.test_client().post(PREDICT, json={"features": features})
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    text = parts.metrics.text().decode()
    assert f'leadscore_http_requests_total{{method="POST",route="{PREDICT}",status="500"}} 1.0' in text
    assert "leadscore_http_requests_in_progress 0.0" in text


def test_what_a_hook_does_to_a_ready_answer_is_sent(app: Flask, shelf: Any, features: dict[str, Any]) -> None:
    """Another body, another status, something to do once it is sent."""
    shelf.activated()
    done: list[str] = []

    @app.after_request
    def change(response: Response) -> Response:
        assert not response.direct_passthrough
        response.call_on_close(lambda: done.append("closed"))
        response.set_data(b"another body")
        response.status_code = 418
        return response

    answer = app.test_client().post(PREDICT, json={"features": features})
    answer.close()
    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (418, b"another body", "12")
    assert done == ["closed"]


def test_the_route_is_recorded_whoever_answers(app: Flask, parts: Any) -> None:
    app.before_request(refuse)
    client = app.test_client()
    client.get("/health")
    client.options(PREDICT)
    client.get("/nowhere")
    text = parts.metrics.text().decode()
    assert 'method="GET",route="/health",status="403"' in text
    assert f'method="OPTIONS",route="{PREDICT}",status="403"' in text
    assert 'method="GET",route="other",status="403"' in text


@pytest.mark.parametrize("given", ["req-7", "A.b_c-9", "x" * 128])
def test_a_callers_request_id_is_kept(client, given):
    assert client.get("/health/live", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["a b", 'x", "level": "ERROR', "é", "x" * 129, "", "a,b", "../x"])
def test_a_request_id_that_is_none_is_replaced(client, given):
    answered = client.get("/health/live", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert answered != given
    assert len(answered) == 32
