"""`python -m leadscore_assets.commands.set_up_database`: create our schemas, tables and functions if absent.

Dagster's own tables are brought to the release that is installed.
"""

from __future__ import annotations

import sys

from leadscore.errors import LeadscoreError
from leadscore.settings import Settings, read_settings
from leadscore_assets.commands.upgrade_dagster import upgrade_dagster
from leadscore_assets.health import tables as health_tables
from leadscore_assets.proof import tables as proof_tables
from leadscore_assets.retention import absent_leads
from leadscore_assets.scoring import tables as score_tables
from leadscore_assets.source.database import TABLES_LOCK, connect, create_schema
from leadscore_assets.source.outcomes import create_functions
from leadscore_assets.source.preconditions import check_database
from leadscore_assets.source.tables import create_tables
from leadscore_assets.trainings import tables as training_tables


def set_up(settings: Settings) -> str | None:
    """Create the schemas `leadscore` (ours) and `dagster` (Dagster's own storage), our tables, and our functions.

    What is there stays, but functions of the same names are replaced, and tables of an older Dagster are migrated: the
    text that is returned says so, None when they are not. Raises CannotRun before anything is made when the database
    cannot carry them, has tables of a newer Dagster, or has older ones while another process holds the control plane;
    DatabaseUnavailable.
    """
    check_database(settings)
    with connect(settings) as connection:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
            create_schema(connection, "dagster")
        upgraded = upgrade_dagster(settings, connection)
        create_tables(connection)
        absent_leads.create_table(connection)
        create_functions(connection)
        score_tables.create_tables(connection)
        health_tables.create_tables(connection)
        proof_tables.create_tables(connection)
        training_tables.create_tables(connection)
    return upgraded


def main() -> int:
    """Set up the database that the environment names; return the exit code."""
    try:
        settings = read_settings()
        upgraded = set_up(settings)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    if upgraded:
        print(upgraded)
    print(f"{settings.db_name} at {settings.db_host}:{settings.db_port} now has the schemas leadscore and dagster.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
