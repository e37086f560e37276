"""What tests of several packages share: a real PostgreSQL, with a fresh database for each test that asks for one."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from leadscore.settings import Settings
from standalone import throwaway
from standalone.postgres import EmbeddedPostgres
from tests.browser import Browser
from tests.object_store import FaultyStore, running_store


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """Restore how signals are handled, and fail a test that left one ignored: later children would ignore it, too."""
    before = _handlers()
    yield
    after = _handlers()
    for number, handler in before.items():
        signal.signal(number, handler)
    ignored = {number for number, handler in after.items() if handler is signal.SIG_IGN}
    assert ignored - {number for number, handler in before.items() if handler is signal.SIG_IGN} <= IGNORED_AT_START


def _handlers() -> dict[signal.Signals, Any]:
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


# as in a process that a shell started in the background; who handled such a signal for a while ignores it again
IGNORED_AT_START = {number for number, handler in _handlers().items() if handler is signal.SIG_IGN}


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Give a function that returns a port that nobody listens on."""
    return throwaway.free_port


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """Give one throw-away server per test process."""
    with throwaway.throwaway_server() as server:
        yield server


@pytest.fixture
def database(postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Settings]:
    """Give settings that point to an empty database of the test's own."""
    name = f"test_{os.getpid()}_{secrets.token_hex(6)}"
    settings = throwaway.new_database(postgres_server, name)
    yield replace(settings, model_path=tmp_path / "models", state_dir=tmp_path / "state")
    with postgres_server.connect() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def object_store() -> Iterator[FaultyStore]:
    """Give one object store per test process, which fails as a test wants; the environment has its credentials."""
    with running_store() as store:
        yield store


@pytest.fixture(scope="session")
def browser() -> Browser:
    """Give headless Chromium; without one the test is skipped or, where CI is true, fails."""
    return Browser.found()
