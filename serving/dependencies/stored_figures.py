"""Figures of what the CRM's database holds, for metrics: read at most once a minute, by one process for all.

The processes of one server share what was read last, in a file. So whichever of them answers a scrape, a counter never
goes back, which Prometheus would take for a restart.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import msgspec

from leadscore.errors import DatabaseUnavailable
from leadscore.live_performance import LiveState
from leadscore.org_warnings import OrgWarning
from leadscore.registry.org_state import OrgState
from leadscore.training_status import TrainingStatus
from serving.dependencies.crm_database import CrmDatabase

FRESH_SECONDS = 60.0
READ = """
SELECT json_build_object(
    'orgs_by_state', (
        SELECT coalesce(json_object_agg(state, orgs), '{}')
        FROM (SELECT state, count(*) AS orgs FROM leadscore.org_health GROUP BY 1) AS counted
    ),
    -- an org whose scores were not judged yet has no live state
    'orgs_by_live_state', (
        SELECT coalesce(json_object_agg(state, orgs), '{}')
        FROM (
            SELECT coalesce(live_state, 'no_scores') AS state, count(*) AS orgs FROM leadscore.org_health GROUP BY 1
        ) AS counted
    ),
    'orgs_by_warning', (
        SELECT coalesce(json_object_agg(warning, orgs), '{}')
        FROM (
            SELECT warning, count(*) AS orgs
            FROM leadscore.org_health CROSS JOIN unnest(warnings) AS warning
            GROUP BY 1
        ) AS counted
    ),
    'skewed_orgs', (SELECT count(DISTINCT org_id) FROM leadscore.feature_skew WHERE is_named),
    'shifted_orgs', (SELECT count(*) FROM leadscore.live_inputs WHERE state = 'shifted'),
    'refreshed_at_seconds', (SELECT extract(epoch FROM refreshed_at) FROM leadscore.org_health_refresh),
    'trainings', (SELECT coalesce(json_object_agg(status, trainings), '{}') FROM leadscore.training_total),
    'due_trainings', (SELECT count(*) FROM leadscore.due_training),
    'failed_runs', (SELECT coalesce(json_object_agg(job, runs), '{}') FROM leadscore.failed_run_total),
    'next_run_at_seconds', (
        SELECT coalesce(json_object_agg(schedule, extract(epoch FROM next_run_at)), '{}')
        FROM leadscore.schedule_health
    )
)
"""


class Figures(msgspec.Struct, frozen=True):
    """How many orgs, trainings and failed runs there are of each kind, and when each schedule is to run next.

    `refreshed_at_seconds` is when the orgs' health was last refreshed; moments are seconds since 1970.
    """

    orgs_by_state: dict[OrgState, int]
    orgs_by_live_state: dict[LiveState, int]
    orgs_by_warning: dict[OrgWarning, int]
    skewed_orgs: int
    shifted_orgs: int
    refreshed_at_seconds: float | None
    trainings: dict[TrainingStatus, int]
    due_trainings: int
    failed_runs: dict[str, int]
    next_run_at_seconds: dict[str, float]


class _Stored(msgspec.Struct, frozen=True):
    """What a process read last, and when, by the machine's monotonic clock."""

    read_at_seconds: float
    figures: Figures | None


class StoredFigures:
    """The figures, which one of the server's processes reads at most once in FRESH_SECONDS. `folder` is shared."""

    def __init__(self, database: CrmDatabase, folder: Callable[[], Path]) -> None:
        self._database, self._folder = database, folder

    def present(self) -> Figures | None:
        """Return the figures; None while the database cannot answer, also for FRESH_SECONDS after it could not."""
        with self._locked() as path:
            stored = _stored(path)
            if stored is None or time.monotonic() - stored.read_at_seconds >= FRESH_SECONDS:
                stored = _Stored(time.monotonic(), self._read())
                path.write_bytes(msgspec.json.encode(stored))
            return stored.figures

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        """Hold the file, which another thread or process waits for."""
        path = self._folder() / "figures.json"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(descriptor)

    def _read(self) -> Figures | None:
        try:
            found = self._database.value(READ, {}, Figures, task="read the figures for metrics")
        except DatabaseUnavailable:
            return None
        return msgspec.structs.replace(
            found,
            orgs_by_state=_with_all(OrgState, found.orgs_by_state),
            orgs_by_live_state=_with_all(LiveState, found.orgs_by_live_state),
            orgs_by_warning=_with_all(OrgWarning, found.orgs_by_warning),
            trainings=_with_all(TrainingStatus, found.trainings),
        )


def _stored(path: Path) -> _Stored | None:
    """Return what was read last; None before the first time, and of a file that a killed process left unfinished."""
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=_Stored)
    return None


def _with_all(words: Any, counts: Mapping[Any, int]) -> dict[Any, int]:
    """Return the counts of all words, so that each one's series is there from the start."""
    return dict.fromkeys(get_args(words), 0) | dict(counts)
