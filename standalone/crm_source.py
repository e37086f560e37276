"""Where the CRM's leads come from: a simulation, a folder (CRM_DATA), or a CRM that was there before.

It is remembered in the database, so that CRM_DATA is never ignored in silence.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from standalone import crm
from standalone.orgs import DEMO_ORGS
from standalone.simulator import into_database, simulate

SIMULATED = "the simulation"
SEED = 1


def fill_crm(connection: psycopg.Connection, settings: Settings) -> str:
    """Make sure that the CRM has its tables and leads, and return in words where they come from.

    A CRM with leads is left as it is. Raises CannotRun when its leads are not those of CRM_DATA, InvalidCrmData when
    CRM_DATA cannot be loaded.
    """
    if settings.crm_data and not settings.crm_data.is_dir():
        raise CannotRun(f"CRM_DATA is {settings.crm_data}, which is no folder. Correct it, or unset it to simulate.")
    wanted = str(settings.crm_data.resolve()) if settings.crm_data else None
    if _has_tables(connection) and crm.holds_leads(connection):
        present = _recorded_source(connection)
        if wanted is not None and present != wanted:
            raise CannotRun(
                f"CRM_DATA is {wanted}, but the database holds leads of {present or 'a CRM of its own'} already."
                " Run `make clean` to start anew (it removes all state), set STATE_DIR to another folder, or unset"
                " CRM_DATA."
            )
        return f"leads of {present or 'the given CRM'}, as they were"
    with connection.transaction():
        crm.create_tables(connection)
        if settings.crm_data:
            rows = crm.load_folder(connection, settings.crm_data)
        else:
            end = settings.as_of or datetime.now(UTC)
            rows = into_database(connection, simulate(DEMO_ORGS, seed=SEED, now=end))
        source = wanted or SIMULATED
        connection.execute("INSERT INTO leadscore.crm_source (source) VALUES (%s)", [source])
    return f"{rows['dossier']:,} leads with {rows['message']:,} messages from {source}"


def _has_tables(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT to_regclass('dossier') IS NOT NULL").fetchone()
    return bool(row and row[0])


def _recorded_source(connection: psycopg.Connection) -> str | None:
    row = connection.execute("SELECT source FROM leadscore.crm_source ORDER BY loaded_at DESC LIMIT 1").fetchone()
    return str(row[0]) if row else None


def create_source_table(connection: psycopg.Connection) -> None:
    """Create the table that remembers the source, in our own schema, when it is absent."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS leadscore.crm_source"
        " (source text NOT NULL, loaded_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
