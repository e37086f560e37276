"""Asks the CRM's database about an org's data, within a short time and in a few of the server's threads.

`leadscore.readiness` judges whether the data suffices for a training; `serving.api.readiness` answers the request.
"""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import NoReturn

import msgspec
import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from leadscore.errors import DatabaseUnavailable
from leadscore.gate import policy_from
from leadscore.outcome_forecast import OutcomeCounts, counts_query
from leadscore.readiness import Readiness, assess
from leadscore.records import Window, window_from
from leadscore.registry.ids import check_crm_org_id
from leadscore.settings import Settings
from serving.dependencies.probes import CONNECT_TIMEOUT_SECONDS, QUERY_SECONDS, DatabaseState, Probe, answer_in_time

TURN_SECONDS = 0.5

AWAY = "the CRM's database cannot be used; try again when /health says that it is up"
BUSY = "the server already sends as many queries to the CRM's database as it may; try again in a moment"
SLOW = f"the CRM's database took longer than {QUERY_SECONDS:g} seconds to count the org's leads; try again later"
MAY_NOT_READ = (
    "DB_USER's role may not read every lead; let it read the CRM's tables (GRANT SELECT) and, where row-level security"
    " hides rows from it, all of these (ALTER ROLE … BYPASSRLS, or ROW_SECURITY=on where the policy shows it every row)"
)
NOT_SET_UP = (
    "the CRM's database lacks this release's functions, or the tables dossier and dossier_status_history;"
    " run `python -m leadscore_assets.commands.set_up_database`, and create views with these names if the CRM's"
    " tables have others"
)

# SQLSTATE: undefined_function, undefined_table, undefined_column, invalid_schema_name
_NOT_SET_UP_STATES = (b"42883", b"42P01", b"42703", b"3F000")
_TOO_SLOW_STATE = b"57014"
_MAY_NOT_STATE = b"42501"

_log = logging.getLogger(__name__)


class ReadinessSource:
    """Asks the CRM's database how much data an org has, for at most `most_at_a_time` orgs at once."""

    def __init__(self, settings: Settings, database: Probe[DatabaseState], *, most_at_a_time: int) -> None:
        self._settings, self._database = settings, database
        self._turns = threading.BoundedSemaphore(max(1, most_at_a_time))

    def readiness(self, org_id: str) -> Readiness:
        """Return whether the org has enough data, and the plan; an unknown org has no data.

        Raises DatabaseUnavailable, and InvalidId for the pooled model, whose leads are those of all orgs.
        """
        check_crm_org_id(org_id)
        settings, window = self._settings, present_window(self._settings)
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise DatabaseUnavailable(BUSY)
        try:
            if self._database.answer().state != "up":
                raise DatabaseUnavailable(AWAY)
            counts = outcome_counts(settings, org_id, window)
        finally:
            self._turns.release()
        return assess(counts, window, policy_from(settings).requirements)


def present_window(settings: Settings) -> Window:
    """Return the window of a training that starts now; AS_OF counts unless it is in the future."""
    now = datetime.now(UTC)
    return window_from(settings, min(settings.as_of or now, now))


def outcome_counts(settings: Settings, org_id: str, window: Window) -> OutcomeCounts:
    """Return what the database counts of the org. Raises DatabaseUnavailable."""
    # one message of several statements is one transaction, which ends with it
    begin = settings.transaction_settings(timeout_seconds=QUERY_SECONDS, read_only=True)
    try:
        with closing(
            psycopg.connect(
                **settings.database_arguments(),
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name="leadscore server",
            )
        ) as connection:
            query = f"{begin}; {psycopg.ClientCursor(connection).mogrify(*counts_query(org_id, window))}"
            result = answer_in_time(connection.pgconn, query.encode(connection.info.encoding), QUERY_SECONDS)
    except psycopg.Error as error:
        _log.warning("the database failed while an org's leads were counted: %s", type(error).__name__)
        raise DatabaseUnavailable(AWAY) from None
    if result is None:
        raise DatabaseUnavailable(SLOW)
    if result.status != ExecStatus.TUPLES_OK:
        _refuse(result)
    try:
        return msgspec.json.decode(result.get_value(0, 0) or b"", type=OutcomeCounts)
    except msgspec.MsgspecError:
        raise DatabaseUnavailable(NOT_SET_UP) from None


def _refuse(result: PGresult) -> NoReturn:
    state = result.error_field(DiagnosticField.SQLSTATE) or b""
    _log.warning("the database refused to count an org's leads: SQLSTATE %s", state.decode())
    if state in _NOT_SET_UP_STATES:
        raise DatabaseUnavailable(NOT_SET_UP)
    if state == _MAY_NOT_STATE:
        raise DatabaseUnavailable(MAY_NOT_READ)
    raise DatabaseUnavailable(SLOW if state == _TOO_SLOW_STATE else AWAY)
