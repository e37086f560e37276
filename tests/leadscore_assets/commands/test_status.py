"""`status` shows the whole system at 80 columns, names what needs attention, and says when it cannot look."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadscore.settings import Settings
from leadscore_assets.commands import status
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.health.schedules import Schedule, write_schedules
from leadscore_assets.source.control_plane import held
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
DAILY = Schedule(
    schedule="score_open_leads_daily",
    cron="0 5 * * *",
    is_on=True,
    seen_at=NOW,
    next_run_at=NOW + DAY,
    last_run_at=NOW,
    last_tick_at=NOW,
    last_status="success",
    error="",
)
ORG = """
INSERT INTO leadscore.org_health (
    org_id, state, state_since, problem, verdict_reasons, readiness, leads_a, leads_b, leads_c, leads_d,
    improving_leads, declining_leads, live_state, live_leads, live_is_listed, warnings, scored_as_of, open_leads,
    last_training
) VALUES (%s, %s, now(), '', '{}', '', 0, 0, 0, 0, 0, 0, %s, 0, false, %s, now() - interval '3 hours', 1500, %s)
"""
REFRESHED = "INSERT INTO leadscore.org_health_refresh (refreshed_at) VALUES (now() - %s * interval '1 second')"
BATCH = "INSERT INTO leadscore.training_batch (batch_id, asked_by, orgs) VALUES ('b', 'schedule', 40)"
WAITING = "INSERT INTO leadscore.due_training (org_id, batch_id) VALUES ('org-8', 'b'), ('org-9', 'b')"


@pytest.fixture
def settings(database: Settings) -> Settings:
    set_up(database)
    database.model_path.mkdir()
    (database.model_path / "org.json").write_bytes(b"x" * 4_000)
    return replace(database, db_user=database.db_user)


def org(connection: Connection, org_id: str, *warnings: str, state: str = "active", **given: Any) -> None:
    values = [org_id, state, given.get("live_state", "fine"), list(warnings), given.get("last_training", "activated")]
    connection.execute(ORG, values)


def fine(connection: Connection) -> None:
    """Let all be well: an org that was trained and scored, and a schedule that runs."""
    connection.execute(REFRESHED, [12])
    org(connection, "acme")
    write_schedules(connection, {}, [DAILY])


def shown(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    assert status.main(settings) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if len(line) > 80] == []
    return text


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_system_that_is_well_is_one_screen_with_nothing_to_do(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(settings) as connection, held(settings):
        fine(connection)
        text = shown(settings, capsys)
    assert text.startswith("Leadscore ")
    assert f"{settings.db_name} at " in text
    assert "\nControl plane  process " in text
    assert "models: 4 kB, " in in_one_line(text)
    assert "\nOrgs           1: 1 active (as of 12 s ago)\n" in text
    assert "\nTrainings      0 activated, 0 held, 0 insufficient data, 0 failed, in all\n" in text
    assert "\nScorings       1,500 open leads of 1 org, 3 h ago\n" in text
    assert f"\n  score_open_leads_daily    {NOW:%Y-%m-%d %H:%M}          {NOW + DAY:%Y-%m-%d %H:%M}\n" in text
    assert text.endswith("\n\nNothing needs attention.\n")
    assert len(text.splitlines()) <= 24


def test_what_needs_attention_is_named_with_what_to_do(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with connect(settings) as connection, held(settings):
        fine(connection)
        for number in range(5):
            org(connection, f"org-{number}", "training_failed", last_training="failed")
            ended = EndedTraining(
                run_id=f"run-{number}",
                org_id=f"org-{number}",
                asked_by="schedule",
                status="failed",
                reasons="The disk of MODEL_PATH is full.",
                batch_id="b",
            )
            record_ended(connection, ended)
        org(connection, "late", "training_overdue", "scores_overdue")
        org(connection, "broken", state="damaged")
        org(connection, "gone", state="withdrawn")
        org(connection, "wrong", live_state="alarm")
        org(connection, "young", "not_ready", state="no_model")
        for statement in (BATCH, WAITING):
            connection.execute(statement.encode())
        text = shown(settings, capsys)
    lines = in_one_line(text)
    assert "Orgs 11: 8 active, 1 no model, 1 withdrawn, 1 damaged (as of 12 s ago)" in lines
    assert "not ready 1 org: young" in lines
    assert "failed 5 orgs: org-0, org-1, org-2 and 2 more" in lines
    assert "alarm 1 org: wrong" in lines
    assert (
        "last batch 38 of 40 orgs: 0 activated, 0 held, 0 insufficient data, 5 failed; asked for by schedule" in lines
    )
    assert "last one org-4, 0 s ago: failed" in lines or "last one org-4, 1 s ago: failed" in lines
    assert "- 1 org: broken damaged. Their leads are not scored: restore the files" in lines
    assert "- 1 org: gone withdrawn. Say whose the id is: python -m leadscore_assets.commands.accept_org" in lines
    assert "- The training of org-0 failed" in lines
    assert "ago: The disk of MODEL_PATH is full. -" in lines
    assert "- 2 more trainings failed: /?state=training_failed lists the orgs." in lines
    assert "- 1 org: late. Two scheduled trainings passed them by" in lines
    assert "- 1 org: late. Their leads were not scored when they were due" in lines
    assert "- 1 org: wrong. What was promised does not come true" in lines
    assert "young" not in text.partition("What to do")[2]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"is_on": False}, "score_open_leads_daily is turned off: turn it on in Dagster"),
        (
            {"last_status": "failure", "error": "DatabaseUnavailable", "next_run_at": NOW - timedelta(minutes=5)},
            "score_open_leads_daily failed (DatabaseUnavailable): its last tick in Dagster says what to do",
        ),
        ({"next_run_at": NOW - timedelta(hours=5)}, "score_open_leads_daily should have run 5 h ago"),
        ({"next_run_at": NOW - timedelta(hours=1)}, "Nothing needs attention."),
    ],
)
def test_a_schedule_that_does_not_run_is_named(
    settings: Settings, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], said: str
) -> None:
    values = {name: getattr(DAILY, name) for name in DAILY.__struct_fields__} | changed
    with connect(settings) as connection, held(settings):
        fine(connection)
        write_schedules(connection, {}, [Schedule(**values)])
        assert said in in_one_line(shown(settings, capsys))


def test_health_that_nobody_refreshes_is_said_to_be_old(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with connect(settings) as connection, held(settings):
        fine(connection)
        connection.execute("UPDATE leadscore.org_health_refresh SET refreshed_at = now() - interval '1 hour'")
        assert "How the orgs stand is as of 60 min ago" in in_one_line(shown(settings, capsys))


def test_without_a_control_plane_it_says_how_to_start_one(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    text = in_one_line(shown(settings, capsys))
    assert "Control plane none is running" in text
    assert "Orgs 0 (as of never)" in text
    assert "no org's leads were scored yet" in text
    assert "- Nothing is trained or scored on time: start `make run`" in text


def test_a_database_that_is_away_is_an_error_in_words(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main(replace(settings, db_port=9)) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert "127.0.0.1:9" in found.err.replace("localhost", "127.0.0.1")


def test_before_the_set_up_it_says_what_to_do(database: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main(database) == 1
    assert "set_up_database" in capsys.readouterr().err
