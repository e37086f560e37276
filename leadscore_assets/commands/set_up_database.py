"""`python -m leadscore_assets.commands.set_up_database`: create our schemas, tables and functions if absent."""

from __future__ import annotations

import sys

from leadscore.errors import LeadscoreError
from leadscore.settings import Settings, read_settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.outcomes import create_functions
from leadscore_assets.source.tables import TABLES_LOCK, create_tables


def set_up(settings: Settings) -> None:
    """Create the schemas `leadscore` (ours) and `dagster` (Dagster's own storage), our tables, and our functions.

    Existing tables and their rows stay; existing functions are replaced. Raises DatabaseUnavailable.
    """
    with connect(settings) as connection:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
            connection.execute("CREATE SCHEMA IF NOT EXISTS dagster")
        create_tables(connection)
        create_functions(connection)


def main() -> int:
    """Set up the database that the environment names; return the exit code."""
    try:
        settings = read_settings()
        set_up(settings)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    print(f"{settings.db_name} at {settings.db_host}:{settings.db_port} now has the schemas leadscore and dagster.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
