"""Which runs of an org Dagster has not ended, by its own tables: they stand in the same database, whoever asks."""

from __future__ import annotations

from collections.abc import Collection

from leadscore.errors import AlreadyTraining
from leadscore_assets.source.control_plane import living_holder
from leadscore_assets.source.database import Connection, explaining

REMEDY = "Make DB_USER's role the owner of the schema dagster and of everything in it."
WITH_A_PROCESS = ("STARTING", "STARTED", "CANCELING")
NOT_ENDED = ("NOT_STARTED", "QUEUED", "MANAGED", *WITH_A_PROCESS)
RUNS = "SELECT run_id FROM dagster.runs WHERE status = ANY (%s) AND partition = ANY (%s) ORDER BY run_id"


def runs_under_way(connection: Connection, org_ids: Collection[str]) -> list[str]:
    """Return the ids of the orgs' runs that have a process; a queued run has read nothing yet.

    Without a living control plane there can be none, whatever Dagster recorded. Raises SourceMismatch,
    DatabaseUnavailable.
    """
    with explaining("looking for runs of the org", REMEDY), connection.transaction():
        if living_holder(connection) is None:
            return []
    return _runs(connection, WITH_A_PROCESS, org_ids)


def check_no_run(connection: Connection, org_ids: Collection[str]) -> None:
    """Raise AlreadyTraining when a run of one of the orgs is queued or running; SourceMismatch, DatabaseUnavailable."""
    for run_id in _runs(connection, NOT_ENDED, org_ids):
        raise AlreadyTraining(run_id, is_followable=False)


def _runs(connection: Connection, statuses: Collection[str], org_ids: Collection[str]) -> list[str]:
    with explaining("looking for runs of the org", REMEDY), connection.transaction():
        if connection.execute("SELECT to_regclass('dagster.runs')").fetchone() == (None,):
            return []  # Dagster makes its tables as it starts
        return [str(run_id) for (run_id,) in connection.execute(RUNS, [list(statuses), list(org_ids)])]
