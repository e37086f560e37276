"""Asks the CRM's database, within a short time and in a few of the server's threads.

Each answer comes as JSON and leaves as a checked type. What is wrong with the database is said in words.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, NoReturn, TypeVar

import msgspec
import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from leadscore.errors import DatabaseUnavailable
from leadscore.settings import Settings
from serving.dependencies.probes import CONNECT_TIMEOUT_SECONDS, QUERY_SECONDS, DatabaseState, Probe, answer_in_time

TURN_SECONDS = 0.5

AWAY = "the CRM's database cannot be used; try again when /health says that it is up"
BUSY = "the server already sends as many queries to the CRM's database as it may; try again in a moment"
SLOW = f"the CRM's database took longer than {QUERY_SECONDS:g} seconds to {{task}}; try again later"
MAY_NOT = (
    "DB_USER's role may not {task}; let it read the CRM's tables (GRANT SELECT), use what is in the schema leadscore"
    " (docs/operations.md lists the rights) and, where row-level security hides rows from it, see all of these"
    " (ALTER ROLE … BYPASSRLS, or ROW_SECURITY=on where the policy shows it every row)"
)
NOT_SET_UP = (
    "the CRM's database lacks this release's functions and tables, or the tables dossier and dossier_status_history;"
    " run `python -m leadscore_assets.commands.set_up_database`, and create views with these names if the CRM's"
    " tables have others"
)

# SQLSTATE: undefined_function, undefined_table, undefined_column, invalid_schema_name
_NOT_SET_UP_STATES = (b"42883", b"42P01", b"42703", b"3F000")
_TOO_SLOW_STATE = b"57014"
_MAY_NOT_STATE = b"42501"

Arguments = Sequence[Any] | Mapping[str, Any]
Asked = TypeVar("Asked")

_log = logging.getLogger(__name__)


class CrmDatabase:
    """The CRM's database, which `most_at_a_time` requests may ask at once, while the probe finds it up.

    `task` says in each call what the query does, such as "read the call list": the refusals name it. Every call raises
    DatabaseUnavailable when the database is away, busy, slow or not set up, or when its role may not do the task.
    """

    def __init__(self, settings: Settings, probe: Probe[DatabaseState], *, most_at_a_time: int) -> None:
        self._settings, self._probe = settings, probe
        self._turns = threading.BoundedSemaphore(max(1, most_at_a_time))

    def value(self, query: str, arguments: Arguments, kind: type[Asked], *, task: str) -> Asked:
        """Return the one cell of JSON that `query` answers, as `kind`."""
        with self._turn():
            return ask(self._settings, query, arguments, kind, task=task)

    def rows(
        self, query: str, arguments: Arguments, kind: type[Asked], *, task: str, is_writing: bool = False
    ) -> list[Asked]:
        """Return the rows of `query`, in its order, as `kind`, whose fields are named like the columns.

        Only when `is_writing` may the query write; it then returns what it wrote (RETURNING), and is one transaction.
        """
        as_json = f"WITH answered AS ({query}) SELECT coalesce(json_agg(answered), '[]') FROM answered"  # noqa: S608 (ours)
        rows_type: Any = list[kind]  # type: ignore[valid-type]  # msgspec reads it at run time
        with self._turn():
            rows: list[Asked] = ask(self._settings, as_json, arguments, rows_type, task=task, is_writing=is_writing)
        return rows

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let the block ask. Raises DatabaseUnavailable when no turn comes soon, or the database is down."""
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise DatabaseUnavailable(BUSY)
        try:
            if self._probe.answer().state != "up":
                raise DatabaseUnavailable(AWAY)
            yield
        finally:
            self._turns.release()


def ask(
    settings: Settings, query: str, arguments: Arguments, kind: type[Asked], *, task: str, is_writing: bool = False
) -> Asked:
    """Return the one cell of JSON that `query` answers, as `kind`. Raises DatabaseUnavailable."""
    result, encoding = _answered(settings, query, arguments, task, is_writing=is_writing)
    if result is None:
        raise DatabaseUnavailable(SLOW.format(task=task))
    if result.status != ExecStatus.TUPLES_OK:
        _refuse(result, task)
    try:
        return msgspec.json.decode((result.get_value(0, 0) or b"").decode(encoding), type=kind)
    except msgspec.MsgspecError as error:
        _log.warning("the database's answer has another form than this release's: %s; could not %s", error, task)
        raise DatabaseUnavailable(NOT_SET_UP) from None


def _answered(
    settings: Settings, query: str, arguments: Arguments, task: str, *, is_writing: bool
) -> tuple[PGresult | None, str]:
    """Return the database's answer, None when it is late, and its encoding."""
    # one message of several statements is one transaction, which ends with it
    begin = settings.transaction_settings(timeout_seconds=QUERY_SECONDS, read_only=not is_writing)
    try:
        with closing(
            psycopg.connect(
                **settings.database_arguments(),
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name="leadscore server",
            )
        ) as connection:
            text = f"{begin}; {psycopg.ClientCursor(connection).mogrify(query, arguments)}"
            encoding = connection.info.encoding
            return answer_in_time(connection.pgconn, text.encode(encoding), QUERY_SECONDS), encoding
    except psycopg.Error as error:
        _log.warning("the database failed: %s; could not %s", type(error).__name__, task)
        raise DatabaseUnavailable(AWAY) from None


def _refuse(result: PGresult, task: str) -> NoReturn:
    state = result.error_field(DiagnosticField.SQLSTATE) or b""
    _log.warning("the database refused with SQLSTATE %s; could not %s", state.decode(), task)
    raise DatabaseUnavailable(refusal_words(result, task))


def refusal_words(result: PGresult, task: str) -> str:
    """Return in words why the database refused the `task`, from its SQLSTATE alone."""
    state = result.error_field(DiagnosticField.SQLSTATE) or b""
    if state in _NOT_SET_UP_STATES:
        return NOT_SET_UP
    if state == _MAY_NOT_STATE:
        return MAY_NOT.format(task=task)
    return SLOW.format(task=task) if state == _TOO_SLOW_STATE else AWAY
