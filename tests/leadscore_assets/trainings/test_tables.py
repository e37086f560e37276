"""The tables of trainings are made once, and what they hold stays."""

from __future__ import annotations

from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.tables import create_tables


def test_a_second_set_up_changes_nothing(database: Settings) -> None:
    with connect(database) as connection:
        create_tables(connection)
        connection.execute("UPDATE leadscore.training_total SET trainings = 7 WHERE status = 'held'")
        create_tables(connection)
        held = connection.execute("SELECT trainings FROM leadscore.training_total WHERE status = 'held'").fetchall()
    assert held == [(7,)]
