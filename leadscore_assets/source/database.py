"""Connections to PostgreSQL, and clear errors for its failures. The queries are in the other modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from leadscore.errors import DatabaseUnavailable, SourceMismatch
from leadscore.settings import Settings

CONNECT_TIMEOUT_SECONDS = 10
STATEMENT_TIMEOUT_SECONDS = 600
TABLES_LOCK = 7_013_001  # any number of our own: whoever holds it may change our tables

HIDDEN_ROWS = (
    "Let DB_USER's role see every row (`ALTER ROLE … BYPASSRLS`) or, where the policy shows it all of them, set"
    " ROW_SECURITY=on."
)
MISSING_RIGHT = (
    "Let DB_USER's role read the CRM's tables (`GRANT USAGE ON SCHEMA … TO …`,"
    " `GRANT SELECT ON ALL TABLES IN SCHEMA … TO …`) and own the schema leadscore and everything in it."
)

NOT_SET_UP = "Run `python -m leadscore_assets.commands.set_up_database`, which creates our functions, then try again."


class Connection(psycopg.Connection[tuple[object, ...]]):
    """A connection in autocommit mode, each of whose transactions sets for itself what it needs."""

    transaction_settings = ""

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """Begin a transaction as the settings of the connection ask for it, or a savepoint inside one."""
        is_outermost = self.info.transaction_status is TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if is_outermost:
                self.execute(self.transaction_settings.encode())
            yield transaction


def connect(settings: Settings, *, read_only: bool = False) -> Connection:
    """Return a connection, whose transactions are in UTC and limited in time. The caller closes it, as with a file.

    Parameters are bound by the client, so that the same text can be run, described and given to COPY. Raises
    DatabaseUnavailable.
    """
    try:
        connection = Connection.connect(
            **settings.database_arguments(),
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
    # whoever waited for a lock then sees what its former holder wrote, whatever is the role's own default
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.transaction_settings = settings.transaction_settings(
        timeout_seconds=STATEMENT_TIMEOUT_SECONDS, read_only=read_only
    )
    return connection


def create_schema(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    """Create the schema when it is absent. A role that owns it needs no right to make others."""
    if connection.execute("SELECT to_regnamespace(%s)", [name]).fetchone() == (None,):
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))


def declare_tables(connection: Connection, declared: Path) -> None:
    """Create in the schema `leadscore` what an SQL file declares, where it is absent."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        create_schema(connection, "leadscore")
        connection.execute("SET LOCAL client_min_messages = warning")
        connection.execute(declared.read_bytes())


def first_line(error: psycopg.Error) -> str:
    """Return the first line of PostgreSQL's message, without the data that it may quote."""
    if isinstance(error, psycopg.DataError):
        return f"a value cannot be used ({type(error).__name__})"
    return (error.diag.message_primary or str(error) or type(error).__name__).splitlines()[0]


@contextmanager
def explaining(what: str, remedy: str) -> Iterator[None]:
    """Turn a query's failure into an error whose text says `what` was being done, and the `remedy`.

    Raises SourceMismatch when the query does not fit the tables or the role lacks a right, DatabaseUnavailable when
    the server failed it.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"PostgreSQL failed while {what}: {first_line(error)}. Try again.") from None
    except psycopg.Error as error:
        raise SourceMismatch(
            f"PostgreSQL refused the query while {what}: {first_line(error)}."
            f" {_remedy_of_rights(error) or _remedy_of_set_up(error) or remedy}"
        ) from None


def _remedy_of_set_up(error: psycopg.Error) -> str | None:
    lacks_something = isinstance(error, (psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName))
    return NOT_SET_UP if lacks_something and "leadscore" in str(error.diag.message_primary) else None


def _remedy_of_rights(error: psycopg.Error) -> str | None:
    if not isinstance(error, psycopg.errors.InsufficientPrivilege):
        return None
    # both kinds have one SQLSTATE, and the text is in the server's language
    return HIDDEN_ROWS if error.diag.source_function == "check_enable_rls" else MISSING_RIGHT
