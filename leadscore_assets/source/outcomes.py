"""Our SQL functions over the CRM's leads: when each was open, what became of it, and its features at any moment.

Here they are created, and one org's outcomes are counted; the core interprets the counts.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import psycopg
from psycopg import sql

from leadscore.features import CONTRACT, Contract
from leadscore.outcome_forecast import OutcomeCounts, counts_query
from leadscore.records import Window
from leadscore_assets.source.database import TABLES_LOCK, Connection, create_schema, explaining

OUTCOMES_SQL = Path(__file__).with_name("outcomes.sql")
FEATURES_SQL = Path(__file__).with_name("features_at.sql")
FEATURES_AT = "leadscore.features_at(text, text[], timestamp[], text)"
# with the parameters of `outcome_parameters`
LEAD_OUTCOMES = (
    "leadscore.lead_outcomes(%(as_of)s, %(training_window_days)s, %(conversion_window_days)s, %(conversion_statuses)s,"
    " %(lost_statuses)s, %(conversion_is_final)s, %(landmark_days)s, %(crm_time_zone)s)"
)
REMEDY = (
    "Run `python -m leadscore_assets.commands.set_up_database`, which creates our functions. If the"
    " CRM's tables have other names, create views named dossier and dossier_status_history."
)


def create_functions(connection: Connection, contract: Contract = CONTRACT) -> None:
    """Create our functions in the schema `leadscore`, or replace those of the same names by this release's.

    `features_at` returns the features of `contract`.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        create_schema(connection, "leadscore")
        # the tables that they read are the CRM's, which may come later
        connection.execute("SET LOCAL check_function_bodies = off")
        connection.execute(OUTCOMES_SQL.read_bytes())
        _create_features_at(connection, contract)


def functions_sql() -> bytes:
    """Return the SQL of all our functions that a file of records may call."""
    return OUTCOMES_SQL.read_bytes() + FEATURES_SQL.read_bytes()


def _create_features_at(connection: Connection, contract: Contract) -> None:
    """Create the function, in place of one with other columns, too.

    The release before, which may still run, finds the features that it knows by their names.
    """
    names = [sql.Identifier(name).as_string() for name in contract.names]
    columns = ", ".join(f"{name} double precision" for name in names)
    statement = FEATURES_SQL.read_text().format(columns=columns, names=", ".join(names)).encode()
    try:
        with connection.transaction():
            connection.execute(statement)
    except psycopg.errors.InvalidFunctionDefinition:
        connection.execute(f"DROP FUNCTION {FEATURES_AT}".encode())
        connection.execute(statement)


def outcome_counts(connection: Connection, org_id: str, window: Window) -> OutcomeCounts:
    """Return how many records the org has at the window's `as_of`, and how many more are on their way.

    Raises SourceMismatch before the set-up or without the CRM's tables, DatabaseUnavailable.
    """
    with explaining("counting the org's outcomes", REMEDY), connection.transaction():
        (document,) = connection.execute(*counts_query(org_id, window)).fetchone() or ("",)
    return msgspec.json.decode(str(document), type=OutcomeCounts)
