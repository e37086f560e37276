"""The overview is one look at the database; test_status shows what is in it."""

from __future__ import annotations

from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.health.overview import overview
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended


def test_after_the_set_up_there_is_nothing(database: Settings) -> None:
    set_up(database)
    with connect(database, read_only=True) as connection:
        found = overview(connection)
    assert (found.orgs, found.schedules, found.failed, found.batch, found.last_training) == ([], [], [], None, None)
    assert found.totals == {"activated": 0, "held": 0, "insufficient_data": 0, "failed": 0}
    assert found.moments.refreshed_at is None


def test_a_failure_counts_while_it_is_the_orgs_last_training(database: Settings) -> None:
    set_up(database)
    with connect(database) as connection:
        for org_id, status in (("acme", "failed"), ("beta", "held")):
            ended = EndedTraining(run_id="r", org_id=org_id, asked_by="t", status=status, reasons="Why.")  # type: ignore[arg-type]  # one of both
            record_ended(connection, ended)
        found = overview(connection)
    # no org has a row yet that says so
    assert found.failed == []
    assert found.last_training is not None
    assert (found.last_training.org_id, found.last_training.reasons) == ("beta", "Why.")
    assert list(found.totals.items()) == [("activated", 0), ("held", 1), ("insufficient_data", 0), ("failed", 1)]
