"""The figures are read seldom, once for all processes, and are absent while the database is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leadscore.settings import Settings
from leadscore_assets.health.schedules import count_failed_run
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended
from serving.dependencies import stored_figures as module
from serving.dependencies.stored_figures import Figures, StoredFigures
from serving.services import build_services
from tests.live_figures import figures_of, proved
from tests.serving.crm_of_leads import Crm
from tests.serving.standing_orgs import refreshed, standing_orgs


@pytest.fixture
def stored(crm: Crm, shelf: Any) -> StoredFigures:
    standing_orgs(crm, shelf)
    proved(crm.settings, figures_of("acme", "alarm"), figures_of("beta"), figures_of("new", "too_young"))
    refreshed(crm, shelf)
    return build_services(crm.settings).stored_figures


def present(stored: StoredFigures) -> Figures:
    found = stored.present()
    assert found is not None
    return found


def ended(crm: Crm, *statuses: Any) -> None:
    with connect(crm.settings) as connection:
        for number, status in enumerate(statuses):
            record_ended(
                connection,
                EndedTraining(run_id=f"{status}-{number}", org_id="acme", asked_by="t", status=status, reasons=""),
            )


def test_orgs_are_counted_by_state_and_by_what_came_true(stored: StoredFigures) -> None:
    found = present(stored)
    assert found.orgs_by_state == {"active": 2, "pooled": 0, "no_model": 1, "withdrawn": 1, "damaged": 0}
    assert found.orgs_by_live_state == {"fine": 1, "alarm": 1, "too_young": 1, "no_scores": 1}
    assert (found.skewed_orgs, found.shifted_orgs) == (0, 0)


def test_orgs_count_for_each_of_their_warnings_and_once_where_features_differ(stored: StoredFigures, crm: Crm) -> None:
    with connect(crm.settings) as connection:
        for org_id, feature, is_named in (("acme", "a", True), ("acme", "b", True), ("beta", "a", False)):
            connection.execute(
                "INSERT INTO leadscore.feature_skew VALUES (%s, %s, now(), 9, 9, 1, 2, 'x', '', false, %s)",
                [org_id, feature, is_named],
            )
        connection.execute(
            "INSERT INTO leadscore.live_inputs (org_id, as_of, state, in_words, alarms, figures)"
            " VALUES ('acme', now(), 'shifted', '', 1, '{}')"
        )
        connection.execute(
            "UPDATE leadscore.org_health SET warnings = CASE"
            " WHEN org_id IN ('acme', 'beta') THEN '{held,scores_overdue}' WHEN org_id = 'new' THEN '{not_ready}'"
            " ELSE '{}' END::text[]"
        )
    found = present(stored)
    assert (found.skewed_orgs, found.shifted_orgs) == (1, 1)
    assert found.orgs_by_warning == {
        "not_ready": 1,
        "training_overdue": 0,
        "training_failed": 0,
        "refused": 0,
        "held": 2,
        "scores_overdue": 2,
    }


def test_trainings_failed_runs_and_schedules_come_from_the_tables(stored: StoredFigures, crm: Crm) -> None:
    ended(crm, "activated", "held", "held")
    with connect(crm.settings) as connection:
        count_failed_run(connection, "train", "run-1")
        connection.execute(
            "INSERT INTO leadscore.schedule_health (schedule, cron, is_on, seen_at, next_run_at, error)"
            " VALUES ('daily', '0 5 * * *', true, now(), '1970-01-02T00:00:00Z', '')"
        )
    found = present(stored)
    assert found.trainings == {"activated": 1, "held": 2, "insufficient_data": 0, "failed": 0}
    assert (found.failed_runs, found.due_trainings) == ({"train": 1}, 0)
    assert found.next_run_at_seconds == {"daily": 86_400.0}
    assert found.refreshed_at_seconds is not None


def test_all_processes_say_what_one_read_for_a_minute(
    stored: StoredFigures, crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a counter would go back whenever a process that read it earlier answers."""
    seconds = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    one, other = (build_services(crm.settings, tmp_path).stored_figures for _ in range(2))
    ended(crm, "held")
    first = present(one)
    ended(crm, "failed")
    seconds[0] = 59.9
    assert present(other) == first == present(one)
    seconds[0] = 60.0
    assert present(other).trainings["failed"] == 1
    assert present(one) == present(other)


def test_a_file_that_a_killed_process_left_is_read_anew(crm: Crm, stored: StoredFigures, tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_bytes(b'{"read_at_sec')
    assert present(build_services(crm.settings, tmp_path).stored_figures) == present(stored)


def test_without_the_database_there_are_none(settings: Settings) -> None:
    assert build_services(settings).stored_figures.present() is None
