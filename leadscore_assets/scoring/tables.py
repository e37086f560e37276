"""Creates the tables of the scores, the view `call_list`, and the functions that say them in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from psycopg import sql

from leadscore.features import CONTRACT, Contract, Words
from leadscore_assets.source.database import TABLES_LOCK, Connection, create_schema

NO_WORDS = Words("", "", "", "")
TABLES_SQL = Path(__file__).with_name("tables.sql")
HISTORY = "lead_score_history"
PARTS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'leadscore.lead_score_history'::regclass ORDER BY relname
"""


def create_tables(connection: Connection, contract: Contract = CONTRACT) -> None:
    """Create what `tables.sql` declares where it is absent, and say the features as `contract` does."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        create_schema(connection, "leadscore")
        # a function may name one that is created after it
        connection.execute("SET LOCAL check_function_bodies = off")
        connection.execute("SET LOCAL client_min_messages = warning")
        connection.execute(TABLES_SQL.read_bytes())
        connection.execute("DELETE FROM leadscore.feature_words")
        for feature in contract.features:
            words = msgspec.structs.astuple(feature.words or NO_WORDS)
            connection.execute(
                "INSERT INTO leadscore.feature_words (feature, unit, label, known, zero, unknown)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [feature.name, feature.unit, *words],
            )


def create_month_of_history(connection: Connection, moment: datetime) -> None:
    """Create the part of `lead_score_history` for the month (UTC) of `moment` where it is absent."""
    name, start, end = _month(moment)
    if connection.execute("SELECT to_regclass(%s)", [f"leadscore.{name}"]).fetchone() != (None,):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier("leadscore", name),
                sql.Identifier("leadscore", HISTORY),
                sql.Literal(start.isoformat()),
                sql.Literal(end.isoformat()),
            )
        )


def drop_old_history(connection: Connection, before: datetime) -> list[str]:
    """Drop the months (UTC) of `lead_score_history` that ended before that moment; return the names of their parts."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        first_kept = _month(before)[0]
        parts = [str(name) for (name,) in connection.execute(PARTS) if str(name) < first_kept]
        for name in parts:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("leadscore", name)))
    return parts


def _month(moment: datetime) -> tuple[str, datetime, datetime]:
    """Return the name of the month's part, and when the month begins and ends."""
    start = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return f"{HISTORY}_{start:%Y_%m}", start, end
