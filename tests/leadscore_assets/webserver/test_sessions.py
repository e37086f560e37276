"""Sessions: they stand for a token, expire, and are bounded in number."""

from __future__ import annotations

from leadscore_assets.webserver.sessions import MAX_SESSIONS, SESSION_SECONDS, Sessions


def test_a_session_stands_for_its_token_until_it_expires() -> None:
    now = [0.0]
    sessions = Sessions(clock=lambda: now[0])
    value = sessions.start("a token")
    assert sessions.token(value) == "a token"
    now[0] = SESSION_SECONDS - 1
    assert sessions.token(value) == "a token"
    now[0] = SESSION_SECONDS
    assert sessions.token(value) is None


def test_a_value_is_random_and_no_part_of_the_token() -> None:
    sessions = Sessions()
    values = {sessions.start("a token") for _ in range(100)}
    assert len(values) == 100
    assert all(len(value) == 43 and "token" not in value for value in values)


def test_a_value_that_was_never_given_stands_for_nothing() -> None:
    sessions = Sessions()
    sessions.start("a token")
    assert sessions.token("") is None
    assert sessions.token("another") is None


def test_of_too_many_sessions_the_oldest_ends() -> None:
    sessions = Sessions()
    first = sessions.start("a token")
    second = sessions.start("a token")
    for _ in range(MAX_SESSIONS - 1):
        last = sessions.start("a token")
    assert sessions.token(first) is None
    assert sessions.token(second) == sessions.token(last) == "a token"
