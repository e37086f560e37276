"""A training's end is recorded and counted once, and what was counted is never taken back."""

from __future__ import annotations

import pytest

from leadscore.errors import SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended

HELD = EndedTraining(run_id="run-1", org_id="acme", asked_by="schedule", status="held", reasons="Not surely better.")


def totals(connection: Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT status, trainings FROM leadscore.training_total").fetchall())  # type: ignore[arg-type]  # the columns' types


def test_each_end_is_counted_once_however_often_it_is_reported(database: Settings) -> None:
    set_up(database)
    with connect(database) as connection:
        assert totals(connection) == {"activated": 0, "held": 0, "insufficient_data": 0, "failed": 0}
        assert record_ended(connection, HELD)
        failed = EndedTraining(run_id="run-1", org_id="acme", asked_by="", status="failed", reasons="the run died")
        assert not record_ended(connection, failed)
        stored = connection.execute("SELECT status, reasons, version FROM leadscore.ended_training").fetchall()
        assert stored == [("held", "Not surely better.", None)]
        assert totals(connection)["held"] == 1
        assert totals(connection)["failed"] == 0


def test_what_was_counted_stays_when_rows_go_and_when_the_database_is_set_up_again(database: Settings) -> None:
    set_up(database)
    with connect(database) as connection:
        record_ended(connection, HELD)
        connection.execute("DELETE FROM leadscore.ended_training")
        set_up(database)
        assert totals(connection)["held"] == 1


def test_before_the_set_up_it_says_what_to_do(database: Settings) -> None:
    with connect(database) as connection, pytest.raises(SourceMismatch, match="set_up_database"):
        record_ended(connection, HELD)
