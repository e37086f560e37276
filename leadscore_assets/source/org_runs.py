"""Which runs of an org have not ended, by Dagster's tables and by the claims of those that train many orgs."""

from __future__ import annotations

from collections.abc import Collection

from leadscore.errors import AlreadyTraining
from leadscore.training_claims import HOLDERS
from leadscore_assets.source.control_plane import living_holder
from leadscore_assets.source.database import Connection, explaining

REMEDY = "Make DB_USER's role the owner of the schema dagster and of everything in it."
WITH_A_PROCESS = ("STARTING", "STARTED", "CANCELING")
NOT_ENDED = ("NOT_STARTED", "QUEUED", "MANAGED", *WITH_A_PROCESS)
RUNS = "SELECT run_id FROM dagster.runs WHERE status = ANY (%s) AND partition = ANY (%s) ORDER BY run_id"


def runs_under_way(connection: Connection, org_ids: Collection[str]) -> list[str]:
    """Return the ids of the runs that are at work on the orgs; a queued run has read nothing yet.

    Without a living control plane there can be none, whatever Dagster recorded. Raises SourceMismatch,
    DatabaseUnavailable.
    """
    with explaining("looking for runs of the org", REMEDY), connection.transaction():
        if living_holder(connection) is None:
            return []
        at_work = _holders(connection, org_ids)
    return sorted({*_runs(connection, WITH_A_PROCESS, org_ids), *at_work})


def check_no_run(connection: Connection, org_ids: Collection[str]) -> None:
    """Raise AlreadyTraining when a run of one of the orgs is queued or running; SourceMismatch, DatabaseUnavailable."""
    with explaining("looking for runs of the org", REMEDY), connection.transaction():
        at_work = _holders(connection, org_ids)
    for run_id in [*_runs(connection, NOT_ENDED, org_ids), *at_work]:
        raise AlreadyTraining(run_id, is_followable=False)


def _runs(connection: Connection, statuses: Collection[str], org_ids: Collection[str]) -> list[str]:
    with explaining("looking for runs of the org", REMEDY), connection.transaction():
        if connection.execute("SELECT to_regclass('dagster.runs')").fetchone() == (None,):
            return []  # Dagster makes its tables as it starts
        return [str(run_id) for (run_id,) in connection.execute(RUNS, [list(statuses), list(org_ids)])]


def _holders(connection: Connection, org_ids: Collection[str]) -> list[str]:
    """Return the runs that hold claims on the orgs: one that trains many orgs is of no org's partition."""
    return [str(holder) for (holder,) in connection.execute(HOLDERS.encode(), {"org_ids": list(org_ids)})]
