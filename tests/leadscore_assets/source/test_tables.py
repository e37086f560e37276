"""What assets store is what is loaded, each org for itself, all or nothing."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pandas as pd
import pytest

from leadscore.errors import NotMaterialized, SourceMismatch
from leadscore.features import CONTRACT
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.tables import load, store

ASSET = "lead_features"


@pytest.fixture
def connection(database: Settings) -> Iterator[Connection]:
    """Give a connection to a database that is set up."""
    set_up(database)
    with connect(database) as connection:
        yield connection


def rows(*lead_ids: str, **features: float) -> pd.DataFrame:
    table = pd.DataFrame({"lead_id": list(lead_ids), "landmark_days": range(len(lead_ids)), "converted": 1})
    table["lead_id"] = table["lead_id"].astype("str")
    values = dict.fromkeys(CONTRACT.names, 0.5) | features
    return table.assign(**values).astype(dict.fromkeys(values, "float64"))


def keep(connection: Connection, org_id: str, table: pd.DataFrame | None, **info: object) -> None:
    store(connection, ASSET, org_id, run_id="run", info=info, rows=table)


def test_rows_and_info_come_back_as_they_were(connection: Connection) -> None:
    table = rows("z", "NA", "null", 'a,"é', "1", property_price=0.1 + 0.2, response_time_minutes=math.nan)
    table.loc[0, "engagement_rate"] = math.inf
    table.loc[1, "engagement_rate"] = 5e-324
    keep(connection, "north", table, counts={"records": 5}, words=["é", None, 0.1])
    loaded, info = load(connection, ASSET, "north")
    pd.testing.assert_frame_equal(loaded, table, check_exact=True)
    assert info == {"counts": {"records": 5}, "words": ["é", None, 0.1]}


def test_more_rows_than_one_block_keep_their_order(connection: Connection) -> None:
    table = rows(*(str(number) for number in range(60_000, 0, -1)))
    keep(connection, "north", table)
    pd.testing.assert_frame_equal(load(connection, ASSET, "north")[0], table)


def test_storing_again_replaces_the_orgs_rows_alone(connection: Connection) -> None:
    keep(connection, "north", rows("1", "2"), size=2)
    keep(connection, "south", rows("3"), size=1)
    keep(connection, "north", rows("4"), size=1)
    assert [list(load(connection, ASSET, org_id)[0]["lead_id"]) for org_id in ("north", "south")] == [["4"], ["3"]]
    assert load(connection, ASSET, "north")[1] == {"size": 1}


def test_no_rows_at_all_are_rows_too(connection: Connection) -> None:
    keep(connection, "north", rows())
    loaded, _ = load(connection, ASSET, "north")
    pd.testing.assert_frame_equal(loaded, rows())


def test_an_asset_without_rows_keeps_its_info(connection: Connection) -> None:
    store(connection, "trained_model", "north", run_id="run", info={"version": "1"})
    assert load(connection, "trained_model", "north") == (None, {"version": "1"})


def test_what_was_never_stored_names_the_asset_to_materialize(connection: Connection) -> None:
    keep(connection, "south", rows("1"))
    with pytest.raises(NotMaterialized, match=r"never materialized for org north\. Materialize lead_features"):
        load(connection, ASSET, "north")


def test_a_database_that_was_not_set_up_says_how_to(database: Settings) -> None:
    with connect(database) as connection:
        for attempt in (lambda: load(connection, ASSET, "north"), lambda: keep(connection, "north", rows("1"))):
            with pytest.raises(SourceMismatch, match=r"Run `python -m leadscore_assets\.commands\.set_up_database`"):
                attempt()


def test_a_new_feature_gets_its_column_and_older_rows_stay_as_they_were(connection: Connection) -> None:
    keep(connection, "south", rows("1"))
    grown = rows("2", visits_count=3)
    keep(connection, "north", grown)
    pd.testing.assert_frame_equal(load(connection, ASSET, "north")[0], grown)
    pd.testing.assert_frame_equal(load(connection, ASSET, "south")[0], rows("1"))


def test_rows_that_fail_leave_what_was_there(connection: Connection) -> None:
    keep(connection, "north", rows("1"), size=1)
    with pytest.raises(SourceMismatch, match="while storing lead_features"):
        keep(connection, "north", rows("2").assign(converted=None), size=1)
    loaded, info = load(connection, ASSET, "north")
    assert (list(loaded["lead_id"]), info) == (["1"], {"size": 1})


def test_orgs_and_runs_store_at_the_same_time_and_the_same_new_column(database: Settings) -> None:
    set_up(database)
    start = threading.Barrier(8)
    failures = []

    def run(number: int) -> None:
        try:
            with connect(database) as connection:
                start.wait(timeout=30)
                keep(connection, f"org-{number % 4}", rows(str(number), visits_count=number), number=number)
        except Exception as error:  # every failure is to be seen, whatever it is
            failures.append(error)

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with connect(database) as connection:
        for org in range(4):
            loaded, info = load(connection, ASSET, f"org-{org}")
            assert list(loaded["visits_count"]) == [info["number"]]
