"""Creates the tables of live proof, and removes what is older than its retention."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from leadscore_assets.source.database import Connection, declare_tables

REMEDY = "Run `python -m leadscore_assets.commands.set_up_database`, then try again."
TABLES_SQL = Path(__file__).with_name("tables.sql")
# a lead leaves with all its judged scores, since what was said of it first is what counts
REMOVE_OLD = (
    "DELETE FROM leadscore.answered_score WHERE answered_at < %s",
    "DELETE FROM leadscore.judged_score WHERE created_at < %s::timestamptz AT TIME ZONE 'UTC'",
)


def create_tables(connection: Connection) -> None:
    """Create what `tables.sql` declares where it is absent."""
    declare_tables(connection, TABLES_SQL)


def remove_old_scores(connection: Connection, before: datetime) -> int:
    """Remove the scores answered before that moment, and those judged of leads created before it; return how many."""
    with connection.transaction():
        return sum(connection.execute(statement.encode(), [before]).rowcount for statement in REMOVE_OLD)
