"""The source of the CRM's leads: a simulation, a folder (CRM_DATA), or the operator's own CRM (DB_HOST).

A start fills only its embedded database; it never changes the CRM that DB_HOST names. The database remembers the source
of its leads, so that CRM_DATA is never silently ignored, and simulated leads never mix with others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import psycopg

from leadscore.errors import CannotRun, InvalidInput
from leadscore.settings import Settings
from leadscore_assets.source.crm_columns import check_columns, check_time_zone
from leadscore_assets.source.database import connect, create_schema, explaining
from standalone import crm
from standalone.orgs import DEMO_ORGS
from standalone.simulator import Tables, into_database, simulate

SIMULATED = "the simulation"
SEED = 1
READ_REMEDY = "A CRM with other tables needs views of these names."
# the CRM's tables that are read even when RECORDS_SQL replaces the query that reads them all
READ_IN_ANY_CASE = ("dossier", "dossier_status_history")


def given_crm(settings: Settings) -> str:
    """Return in words whose leads are in the database that DB_HOST names, without changing it.

    A CRM may have no lead yet. Raises CannotRun when CRM_DATA is set, too, or a table is missing or may not be read;
    SourceMismatch when a policy hides rows of it, or a column has a type that cannot be read; InvalidSettings for an
    unknown CRM_TIME_ZONE; DatabaseUnavailable.
    """
    if settings.crm_data:
        raise CannotRun(
            f"CRM_DATA is {settings.crm_data}, and DB_HOST is {settings.db_host}. A folder is loaded only into the"
            " embedded PostgreSQL. Unset DB_HOST to load the folder, or unset CRM_DATA to use the CRM that DB_HOST"
            " names."
        )
    with (
        connect(settings, read_only=True) as connection,
        explaining("looking for leads", READ_REMEDY),
        connection.transaction(),
    ):
        tables = READ_IN_ANY_CASE if settings.records_sql else crm.TABLES
        _check_tables(connection, settings, tables)
        _check_rights(connection, settings, tables)
        if not settings.records_sql:
            check_columns(connection, tables)
        check_time_zone(connection, settings.crm_time_zone)
        if crm.holds_leads(connection):
            return f"leads of {_recorded_source(connection) or 'the CRM'}, unchanged"
        return _no_lead_yet(connection, settings)


def fill_crm(connection: psycopg.Connection, settings: Settings) -> str:
    """Fill the embedded database with the CRM's tables and leads; return in words where the leads come from.

    Existing leads are kept. Raises CannotRun when they do not come from CRM_DATA, InvalidCrmData when CRM_DATA cannot
    be loaded.
    """
    if settings.crm_data and not settings.crm_data.is_dir():
        raise CannotRun(
            f"CRM_DATA is {settings.crm_data}, which is not a folder. Correct it, or unset it to simulate a CRM."
        )
    wanted = str(settings.crm_data.resolve()) if settings.crm_data else None
    if not crm.missing_tables(connection, ["dossier"]) and crm.holds_leads(connection):
        present = _recorded_source(connection)
        if wanted is not None and present != wanted:
            raise CannotRun(
                f"CRM_DATA is {wanted}, but the database already holds leads of {present or 'another CRM'}."
                " Unset CRM_DATA to keep them, set STATE_DIR to another folder, or run `make clean`, which removes all"
                " data of earlier runs."
            )
        return f"leads of {present or 'another CRM'}, unchanged"
    check_time_zone(connection, settings.crm_time_zone)
    with connection.transaction():
        crm.create_tables(connection)
        if settings.crm_data:
            from standalone.crm_load import load_folder  # noqa: PLC0415  # the image that simulates lacks a library of it

            rows = load_folder(connection, settings.crm_data, settings.crm_time_zone)
        else:
            end = settings.as_of or datetime.now(UTC)
            rows = into_database(connection, simulate(DEMO_ORGS, seed=SEED, now=end))
        source = wanted or SIMULATED
        _remember(connection, source)
    return f"{rows['dossier']:,} leads with {rows['message']:,} messages from {source}"


def simulate_into(connection: psycopg.Connection, tables_of_orgs: Iterable[Tables]) -> dict[str, int]:
    """Load simulated tables into a database without a CRM, all or nothing; return the rows of each table.

    Raises InvalidInput when the database has tables with the CRM's names that no simulation made, or that hold rows;
    SourceMismatch when the role may not create tables.
    """
    with explaining("simulating a CRM", "Use a role that may create schemas and tables."), connection.transaction():
        _check_no_crm_of_others(connection)
        create_source_table(connection)
        rows = into_database(connection, tables_of_orgs)
        _remember(connection, SIMULATED)
    return rows


def create_source_table(connection: psycopg.Connection) -> None:
    """Create the table that remembers the source, in our own schema, when it is absent."""
    create_schema(connection, "leadscore")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS leadscore.crm_source"
        " (source text NOT NULL, loaded_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )


def _check_tables(connection: psycopg.Connection, settings: Settings, tables: Sequence[str]) -> None:
    missing = crm.missing_tables(connection, tables)
    if not missing:
        return
    role, search_path = _role(connection)
    elsewhere = sorted({schema for schema, _ in crm.tables_anywhere(connection, missing)})
    raise CannotRun(
        f"The role {role} does not find every table of the CRM in {_database(settings)}. Its search_path is"
        f" {search_path}; missing: {', '.join(missing)}. Nothing was created. "
        + (
            f"They are in the schema {', '.join(elsewhere)}: let the role use it (GRANT USAGE) and find it"
            f" (`ALTER ROLE {role} SET search_path = {elsewhere[0]}`)."
            if elsewhere
            else "Point DB_HOST, DB_PORT, DB_NAME and DB_USER to the CRM, or set the role's search_path to its schema"
            f" (`ALTER ROLE {role} SET search_path = ...`). To try Leadscore in this database, simulate a CRM:"
            " `python -m standalone simulate --into-database`."
        )
    )


def _check_rights(connection: psycopg.Connection, settings: Settings, tables: Sequence[str]) -> None:
    unreadable = crm.unreadable_tables(connection, tables)
    if unreadable:
        role, _ = _role(connection)
        raise CannotRun(
            f"{_database(settings)} does not let the role {role} read every table of the CRM. Let it:"
            f" `GRANT SELECT ON {', '.join(unreadable)} TO {role}`."
        )


def _no_lead_yet(connection: psycopg.Connection, settings: Settings) -> str:
    role, search_path = _role(connection)
    query = "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = to_regclass('dossier')"
    ((schema,),) = connection.execute(query).fetchall()
    return (
        f"the role {role} finds no lead in {schema}.dossier of {_database(settings)}. Its search_path is {search_path}."
        " New leads are found as they come. If the leads are elsewhere, point DB_HOST, DB_PORT, DB_NAME and DB_USER to"
        f" them, or set the role's search_path to their schema (`ALTER ROLE {role} SET search_path = ...`)"
    )


def _check_no_crm_of_others(connection: psycopg.Connection) -> None:
    row = connection.execute("SELECT current_schema()::text").fetchone()
    tables = crm.tables_anywhere(connection, crm.TABLES)
    ours = row[0] if row and _recorded_source(connection) else None
    others = [f"{schema}.{table}" for schema, table in tables if schema != ours]
    if others:
        raise InvalidInput(
            f"The database already has {', '.join(others)}, which no simulation made. Set DB_NAME to a database without"
            " tables of the CRM's names."
        )


def _role(connection: psycopg.Connection) -> tuple[str, str]:
    """Return the role, quoted as SQL needs it, and its search_path."""
    query = "SELECT quote_ident(current_user), current_setting('search_path')"
    ((role, search_path),) = connection.execute(query).fetchall()
    return str(role), str(search_path)


def _database(settings: Settings) -> str:
    return f"the database {settings.db_name} at {settings.db_host}:{settings.db_port}"


def _recorded_source(connection: psycopg.Connection) -> str | None:
    if connection.execute("SELECT to_regclass('leadscore.crm_source')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT source FROM leadscore.crm_source ORDER BY loaded_at DESC LIMIT 1").fetchone()
    return str(row[0]) if row else None


def _remember(connection: psycopg.Connection, source: str) -> None:
    connection.execute("INSERT INTO leadscore.crm_source (source) VALUES (%s)", [source])
