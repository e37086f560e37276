"""Writes rows into the table leadscore.answered_score, over one connection that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import psycopg
from psycopg.pq import ConnStatus, ExecStatus

from leadscore.errors import DatabaseUnavailable
from leadscore.settings import Settings
from serving.dependencies.crm_database import AWAY, refusal_words
from serving.dependencies.probes import CONNECT_TIMEOUT_SECONDS, DatabaseState, Probe, answer_in_time

# an erasure locks the table for some seconds
WRITE_SECONDS = 10.0

TASK = "remember answered scores"
SLOW = f"the CRM's database took longer than {WRITE_SECONDS:g} seconds to {TASK}"
# json_populate_recordset reads a row's columns by their names
INSERT = """
INSERT INTO leadscore.answered_score
SELECT * FROM json_populate_recordset(NULL::leadscore.answered_score, %s)
ON CONFLICT DO NOTHING
"""

Values = Sequence[float | int | None]


class AnsweredScore(msgspec.Struct, frozen=True, gc=False):
    """A row of the table: what was answered for a lead.

    `features` has the values of `feature_names`, None where unknown; both are None unless the features are stored.
    """

    org_id: str
    lead_id: str
    landmark_days: int
    answered_at: datetime
    age_days: float | int | None
    probability: float
    model_version: str
    model_scope: str
    feature_names: tuple[str, ...] | None
    features: Values | None


class AnsweredScoreTable:
    """The table in the CRM's database, for one thread. The first rows connect to it; after a failure, the next ones."""

    def __init__(self, settings: Settings, probe: Probe[DatabaseState]) -> None:
        self._settings, self._probe = settings, probe
        self._connection: psycopg.Connection | None = None

    def insert(self, rows: Sequence[AnsweredScore]) -> None:
        """Insert the rows in one transaction; one that is there stays.

        Raises DatabaseUnavailable when the database is away, not set up, or slower than WRITE_SECONDS, or when its
        role may not insert. None of the rows is there then, unless it was slow.
        """
        try:
            self._insert(msgspec.json.encode(rows).decode())
        except psycopg.Error:
            self.close()
            raise DatabaseUnavailable(AWAY) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _insert(self, rows: str) -> None:
        is_kept = self._connection is not None
        try:
            self._send(rows)
        except psycopg.OperationalError:
            self.close()
            if not is_kept:
                raise
            self._send(rows)  # the connection may have been closed long ago, as by a pooler

    def _send(self, rows: str) -> None:
        connection = self._connected()
        # longer than is waited here, so that only what is left behind ends by it
        begin = self._settings.transaction_settings(timeout_seconds=WRITE_SECONDS + 1, read_only=False)
        text = f"{begin}; {psycopg.ClientCursor(connection).mogrify(INSERT, [rows])}"
        result = answer_in_time(connection.pgconn, text.encode(connection.info.encoding), WRITE_SECONDS)
        if result is None:
            raise DatabaseUnavailable(SLOW)
        if result.status != ExecStatus.COMMAND_OK:
            if connection.pgconn.status != ConnStatus.OK:
                raise psycopg.OperationalError
            raise DatabaseUnavailable(refusal_words(result, TASK))

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            if self._probe.answer().state != "up":
                raise DatabaseUnavailable(AWAY)
            self._connection = psycopg.connect(
                **self._settings.database_arguments(),
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name="leadscore server",
            )
        return self._connection
