"""Connections to PostgreSQL, and clear errors for its failures. The queries are in the other modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from leadscore.errors import DatabaseUnavailable, SourceMismatch
from leadscore.settings import Settings

CONNECT_TIMEOUT_SECONDS = 10
STATEMENT_TIMEOUT_SECONDS = 600

Connection = psycopg.Connection[tuple[object, ...]]


def connect(settings: Settings, *, read_only: bool = False) -> Connection:
    """Return a connection in autocommit mode whose session is in UTC. The caller closes it, as with a file.

    Parameters are bound by the client, so that the same text can be run, described and given to COPY. Raises
    DatabaseUnavailable.
    """
    session = {
        "timezone": "UTC",
        "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
        "default_transaction_read_only": "on" if read_only else "off",
    }
    try:
        return psycopg.connect(
            **settings.database_arguments(session),
            autocommit=True,
            cursor_factory=psycopg.ClientCursor,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="leadscore",
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(
            f"PostgreSQL at {settings.db_host}:{settings.db_port} cannot be used by user {settings.db_user} on"
            f" database {settings.db_name}: {first_line(error)}. Start it, or correct DB_HOST, DB_PORT, DB_NAME,"
            " DB_USER and DB_PASSWORD."
        ) from None


def first_line(error: psycopg.Error) -> str:
    """Return the first line of PostgreSQL's message, without the data that it may quote."""
    if isinstance(error, psycopg.DataError):
        return f"a value cannot be used ({type(error).__name__})"
    return (error.diag.message_primary or str(error) or type(error).__name__).splitlines()[0]


@contextmanager
def explaining(what: str, remedy: str) -> Iterator[None]:
    """Turn a query's failure into an error whose text says `what` was being done, and the `remedy`.

    Raises SourceMismatch when the query does not fit the tables, DatabaseUnavailable when the server failed.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"PostgreSQL failed while {what}: {first_line(error)}. Try again.") from None
    except psycopg.Error as error:
        raise SourceMismatch(f"PostgreSQL refused the query while {what}: {first_line(error)}. {remedy}") from None
