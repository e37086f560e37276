"""Which runs of an org are under way, by Dagster's own tables: they stand in the same database, whoever asks."""

from __future__ import annotations

from collections.abc import Collection

from leadscore_assets.source.control_plane import living_holder
from leadscore_assets.source.database import Connection, explaining

REMEDY = "Make DB_USER's role the owner of the schema dagster and of everything in it."
# those that have a process; a queued run has read nothing yet
UNDER_WAY = """
SELECT run_id FROM dagster.runs JOIN dagster.run_tags USING (run_id)
WHERE status IN ('STARTING', 'STARTED', 'CANCELING') AND key = 'dagster/partition' AND value = ANY (%s)
ORDER BY run_id
"""


def runs_under_way(connection: Connection, org_ids: Collection[str]) -> list[str]:
    """Return the ids of the orgs' runs that are under way.

    Without a living control plane there can be none, whatever Dagster recorded. Raises SourceMismatch,
    DatabaseUnavailable.
    """
    with explaining("looking for runs of the org", REMEDY), connection.transaction():
        is_made = connection.execute("SELECT to_regclass('dagster.run_tags')").fetchone() != (None,)
        if not is_made or living_holder(connection) is None:
            return []
        return [str(run_id) for (run_id,) in connection.execute(UNDER_WAY, [list(org_ids)])]
