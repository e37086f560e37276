"""Scores the open leads of orgs whose model is new, so that a start can show the first of them, and how the orgs stand.

Dagster's sensors would do both within a minute; a start does not wait for their ticks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

from leadscore.errors import DagsterUnavailable, InvalidId
from leadscore.registry.ids import check_crm_org_id
from leadscore.registry.store import Registry
from leadscore.run_tags import ASKER_TAG
from leadscore.settings import Settings
from leadscore_assets.deadlines import deadlines
from leadscore_assets.health.refresh import refresh
from leadscore_assets.scoring.outdated import outdated_orgs
from leadscore_assets.source.database import connect
from leadscore_assets.source.orgs import orgs
from serving.dependencies.dagster_client import DagsterClient

JOB, STEP = "score_open_leads", "score_shard"
ASKER = "make run"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
POLL_SECONDS = 0.5
SCORING_SECONDS = 900.0

_log = logging.getLogger(__name__)


def orgs_to_score(settings: Settings) -> list[str]:
    """Return the orgs that another version serves than the one that scored their leads, as the sensor does."""
    return sorted(outdated_orgs(settings, Registry(settings.model_path), _valid_orgs(settings), _log))


def refresh_health(settings: Settings) -> None:
    """Write how the orgs stand, as the sensor `refresh_org_health` does, so that the first page shows it."""
    due = deadlines(settings, datetime.now(UTC))
    refresh(settings, Registry(settings.model_path), _valid_orgs(settings), due, _log)


def score_orgs(dagster: DagsterClient, org_ids: Iterable[str], watch: Callable[[], None]) -> str | None:
    """Score the orgs' open leads in one run; return in words why it failed, or None. Call `watch()` between polls."""
    config = {"ops": {STEP: {"config": {"org_ids": sorted(org_ids)}}}}
    deadline = time.monotonic() + SCORING_SECONDS
    try:
        run_id = dagster.launch_job(JOB, config, {ASKER_TAG: ASKER})
        while (status := _status(dagster, run_id)) not in ENDED:
            if time.monotonic() > deadline:
                return f"run {run_id} is not done within {SCORING_SECONDS / 60:g} minutes; look at it in Dagster"
            watch()
            time.sleep(POLL_SECONDS)
    except DagsterUnavailable as error:
        return error.message
    return None if status == "SUCCESS" else f"run {run_id} has ended with {status}; look at it in Dagster"


def _status(dagster: DagsterClient, run_id: str) -> str:
    run = dagster.run(run_id)
    return run.status if run else "unknown"


def _valid_orgs(settings: Settings) -> list[str]:
    with connect(settings, read_only=True) as connection:
        return [org_id for org_id in orgs(connection) if _is_valid(org_id)]


def _is_valid(org_id: str) -> bool:
    with suppress(InvalidId):
        return bool(check_crm_org_id(org_id))
    return False
