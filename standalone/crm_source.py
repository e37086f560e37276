"""Where the CRM's leads come from: a simulation, a folder (CRM_DATA), or a CRM of the operator's own.

Only a run's own database is filled by a start; a given one (DB_HOST) is only read. What we filled is remembered in the
database, so that CRM_DATA is never ignored in silence, and a simulation never meets the leads of others.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import psycopg

from leadscore.errors import CannotRun, InvalidInput
from leadscore.settings import Settings
from leadscore_assets.source.database import connect, explaining
from standalone import crm
from standalone.orgs import DEMO_ORGS
from standalone.simulator import Tables, into_database, simulate

SIMULATED = "the simulation"
SEED = 1
READ_REMEDY = "Grant DB_USER the right to read the CRM's tables."
# which of the CRM's tables are read when RECORDS_SQL stands in for the query that reads them all
READ_IN_ANY_CASE = ("dossier", "dossier_status_history")


def given_crm(settings: Settings) -> str:
    """Return in words whose leads the database that DB_HOST names holds. Nothing in it is changed.

    A CRM may have no lead yet. Raises CannotRun when CRM_DATA is given, too, or a table that we read is not to be
    found; SourceMismatch when the role may not read it; DatabaseUnavailable.
    """
    if settings.crm_data:
        raise CannotRun(
            f"CRM_DATA is {settings.crm_data}, and DB_HOST is {settings.db_host}. A folder is loaded only into the"
            " database of its own that a run starts: unset DB_HOST to load it, or unset CRM_DATA to use the CRM that"
            " DB_HOST names."
        )
    with connect(settings, read_only=True) as connection, explaining("looking for leads", READ_REMEDY):
        _check_tables(connection, settings)
        if crm.holds_leads(connection):
            return f"leads of {_recorded_source(connection) or 'the given CRM'}, as they were"
        return _no_lead_yet(connection, settings)


def fill_crm(connection: psycopg.Connection, settings: Settings) -> str:
    """Make sure that a run's own database has the CRM's tables and leads; return in words where they come from.

    Leads that are there are left as they are. Raises CannotRun when they are not those of CRM_DATA, InvalidCrmData when
    CRM_DATA cannot be loaded.
    """
    if settings.crm_data and not settings.crm_data.is_dir():
        raise CannotRun(f"CRM_DATA is {settings.crm_data}, which is no folder. Correct it, or unset it to simulate.")
    wanted = str(settings.crm_data.resolve()) if settings.crm_data else None
    if not crm.missing_tables(connection, ["dossier"]) and crm.holds_leads(connection):
        present = _recorded_source(connection)
        if wanted is not None and present != wanted:
            raise CannotRun(
                f"CRM_DATA is {wanted}, but the database holds leads of {present or 'a CRM of its own'} already."
                " Run `make clean` to start anew (it removes all state), set STATE_DIR to another folder, or unset"
                " CRM_DATA."
            )
        return f"leads of {present or 'a CRM of its own'}, as they were"
    with connection.transaction():
        crm.create_tables(connection)
        if settings.crm_data:
            rows = crm.load_folder(connection, settings.crm_data)
        else:
            end = settings.as_of or datetime.now(UTC)
            rows = into_database(connection, simulate(DEMO_ORGS, seed=SEED, now=end))
        source = wanted or SIMULATED
        _remember(connection, source)
    return f"{rows['dossier']:,} leads with {rows['message']:,} messages from {source}"


def simulate_into(connection: psycopg.Connection, tables_of_orgs: Iterable[Tables]) -> dict[str, int]:
    """Load simulated tables into a database without a CRM, all or nothing; return the rows of each table.

    Raises InvalidInput when the database has a table of the CRM's names that no simulation of ours made, or one that
    holds rows; SourceMismatch when the role may not make tables.
    """
    with explaining("simulating a CRM", "Use a role that may create schemas and tables."), connection.transaction():
        _check_no_crm_of_others(connection)
        create_source_table(connection)
        rows = into_database(connection, tables_of_orgs)
        _remember(connection, SIMULATED)
    return rows


def create_source_table(connection: psycopg.Connection) -> None:
    """Create the table that remembers the source, in our own schema, when it is absent."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS leadscore")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS leadscore.crm_source"
        " (source text NOT NULL, loaded_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )


def _check_tables(connection: psycopg.Connection, settings: Settings) -> None:
    missing = crm.missing_tables(connection, READ_IN_ANY_CASE if settings.records_sql else crm.TABLES)
    if not missing:
        return
    role, search_path = _role(connection)
    elsewhere = sorted({schema for schema, _ in crm.tables_anywhere(connection, missing)})
    raise CannotRun(
        f"{_database(settings)} does not show every table of the CRM to the role {role}, whose search_path is"
        f" {search_path}; missing: {', '.join(missing)}. Nothing was created. "
        + (
            f"They are in the schema {', '.join(elsewhere)}: let the role use it (GRANT USAGE) and find it"
            f" (`ALTER ROLE {role} SET search_path = {elsewhere[0]}`)."
            if elsewhere
            else "Point DB_HOST, DB_PORT, DB_NAME and DB_USER to the CRM, or set the role's search_path to its schema"
            f" (`ALTER ROLE {role} SET search_path = ...`). To try Leadscore out there, simulate a CRM:"
            " `python -m standalone simulate --into-database`."
        )
    )


def _no_lead_yet(connection: psycopg.Connection, settings: Settings) -> str:
    role, search_path = _role(connection)
    query = "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = to_regclass('dossier')"
    ((schema,),) = connection.execute(query).fetchall()
    return (
        f"{_database(settings)} shows no lead in {schema}.dossier to the role {role}, whose search_path is"
        f" {search_path}; leads are found as they come. When they are elsewhere, point DB_HOST, DB_PORT, DB_NAME and"
        f" DB_USER to them, or set the role's search_path to their schema (`ALTER ROLE {role} SET search_path = ...`)"
    )


def _check_no_crm_of_others(connection: psycopg.Connection) -> None:
    row = connection.execute("SELECT current_schema()::text").fetchone()
    tables = crm.tables_anywhere(connection, crm.TABLES)
    ours = row[0] if row and _recorded_source(connection) else None
    others = [f"{schema}.{table}" for schema, table in tables if schema != ours]
    if others:
        raise InvalidInput(
            f"The database has {', '.join(others)}, which no simulation made. Simulate into a database without tables"
            " of the CRM's names (set DB_NAME)."
        )


def _role(connection: psycopg.Connection) -> tuple[str, str]:
    """Return the role, quoted as SQL needs it, and its search_path."""
    query = "SELECT quote_ident(current_user), current_setting('search_path')"
    ((role, search_path),) = connection.execute(query).fetchall()
    return str(role), str(search_path)


def _database(settings: Settings) -> str:
    return f"The database {settings.db_name} at {settings.db_host}:{settings.db_port}"


def _recorded_source(connection: psycopg.Connection) -> str | None:
    if connection.execute("SELECT to_regclass('leadscore.crm_source')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT source FROM leadscore.crm_source ORDER BY loaded_at DESC LIMIT 1").fetchone()
    return str(row[0]) if row else None


def _remember(connection: psycopg.Connection, source: str) -> None:
    connection.execute("INSERT INTO leadscore.crm_source (source) VALUES (%s)", [source])
