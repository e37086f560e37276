"""Our SQL functions over the CRM's leads, which count one org's outcomes. The core interprets the counts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from leadscore.outcome_forecast import OutcomeCounts, counts_query
from leadscore.records import Window
from leadscore_assets.source.database import TABLES_LOCK, Connection, create_schema, explaining

FUNCTIONS_SQL = Path(__file__).with_name("outcomes.sql")
# with the parameters of `outcome_parameters`
LEAD_OUTCOMES = (
    "leadscore.lead_outcomes(%(as_of)s, %(training_window_days)s, %(conversion_window_days)s, %(conversion_statuses)s,"
    " %(lost_statuses)s, %(conversion_is_final)s, %(landmark_days)s, %(crm_time_zone)s)"
)
REMEDY = (
    "Run `python -m leadscore_assets.commands.set_up_database`, which creates our functions. If the"
    " CRM's tables have other names, create views named dossier and dossier_status_history."
)


def create_functions(connection: Connection) -> None:
    """Create our functions in the schema `leadscore`, or replace those of the same names by this release's."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        create_schema(connection, "leadscore")
        # the tables that they read are the CRM's, which may come later
        connection.execute("SET LOCAL check_function_bodies = off")
        connection.execute(FUNCTIONS_SQL.read_bytes())


def outcome_counts(connection: Connection, org_id: str, window: Window) -> OutcomeCounts:
    """Return how many records the org has at the window's `as_of`, and how many more are on their way.

    Raises SourceMismatch before the set-up or without the CRM's tables, DatabaseUnavailable.
    """
    with explaining("counting the org's outcomes", REMEDY), connection.transaction():
        (document,) = connection.execute(*counts_query(org_id, window)).fetchone() or ("",)
    return msgspec.json.decode(str(document), type=OutcomeCounts)
