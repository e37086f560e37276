"""A CRM that holds so many leads of an org, and the app over it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from flask.testing import FlaskClient

from leadscore.records import RecordCounts
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.tables import store
from serving.app import create_app

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
INSERT_LEADS = """
WITH leads AS (
    INSERT INTO dossier (org_id, status, created_at, updated_at)
    SELECT %(org)s, %(status)s, timestamp '2026-06-01' - number * %(every)s * interval '1 day', now()
    FROM generate_series(1, %(leads)s) AS number
    RETURNING id, org_id, created_at
)
INSERT INTO dossier_status_history (org_id, dossier_id, to_status, transitioned_at)
SELECT org_id, id, %(status)s, created_at + interval '12 hours' FROM leads WHERE %(status)s IN ('WON', 'LOST')
"""


# every listing of an org has a price of -1
SPOILT = RecordCounts(
    21, 9, 99, {}, "c0ffee", {"property_price below 0": 1122}, "f00d", set_aside_rows=1122, lost_records=220
)


class Crm:
    """The CRM of a test: so many leads of an org, one every few days up to now, closed half a day later."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def leads(self, org: str, leads: int, status: str, *, every: float) -> None:
        """Add an org's leads, one every so many days."""
        with connect(self.settings) as connection:
            connection.execute(INSERT_LEADS, {"org": org, "leads": leads, "status": status, "every": every})

    def last_run(self, org: str, counts: RecordCounts, *, stored_at: str) -> None:
        """Store the counts of a run of the org, which was at that time."""
        info = {"counts": msgspec.to_builtins(counts)}
        with connect(self.settings) as connection:
            store(connection, "lead_features", org, run_id="run-1", info=info)
            connection.execute(
                "UPDATE leadscore.materializations SET stored_at = %s WHERE org_id = %s", [stored_at, org]
            )

    def client(self, **changed: Any) -> FlaskClient:
        """Return a client of the app with these settings."""
        return create_app(replace(self.settings, as_of=AS_OF, **changed)).test_client()
