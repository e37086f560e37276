"""What is named is erased from every table at once, with the rows that the pooled model learned from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadscore.errors import SourceMismatch
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets.retention.absent_leads import erase_absent_leads
from leadscore_assets.retention.erasure import Erased, erase_at_once
from leadscore_assets.scoring import score_org as scoring
from leadscore_assets.scoring.stored_scores import Setting, save_cut_points
from leadscore_assets.scoring.tables import create_month_of_history
from leadscore_assets.source.database import connect
from leadscore_assets.source.identities import is_changed, remember
from leadscore_assets.source.tables import ASSETS_WITH_ROWS, load, store
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended
from tests.leadscore_assets.retention.conftest import SAID, SCORING, Holding, rows
from tests.leadscore_assets.scored_org import NOW, ORG, Scored
from tests.leadscore_assets.source.hand_made_crm import day
from tests.leadscore_assets.waiting import comes_to_wait


def test_a_lead_leaves_every_table_and_the_other_leads_stay(holding: Holding) -> None:
    lead, *others = holding.leads_of("north")
    holding.score("north", [lead, *others])
    holding.judge("north", [lead, *others])
    erased = erase_at_once(holding.connection, "north", [lead])
    assert erased == [
        Erased("conversion_records", 6, 1),
        Erased("lead_features", 6, 1),
        Erased("lead_score", 1, 1),
        Erased("lead_score_history", 2, 1),
        Erased("answered_score", 1, 1),
        Erased("judged_score", 1, 1),
        Erased("feature_skew", 1, 1),
        Erased("org_identities", 0, 0),
        Erased("absent_ids", 0, 0),
    ]
    assert str(erased[0]) == "6 rows of 1 lead from conversion_records"
    for table in (
        *ASSETS_WITH_ROWS,
        "lead_score",
        "lead_score_history",
        "answered_score",
        "judged_score",
        "feature_skew",
    ):
        assert holding.held(table, "north") == sorted(others)
    for table in ASSETS_WITH_ROWS:
        assert holding.held(table, POOLED) == sorted([*others, *holding.leads_of("south")], key=str)
    assert holding.lines() == [POOLED, "north", "south"]


def test_an_org_leaves_every_table_with_its_lines(holding: Holding) -> None:
    holding.score("north", holding.leads_of("north"))
    holding.judge("north", holding.leads_of("north"))
    record_ended(
        holding.connection, EndedTraining(run_id="run", org_id="north", asked_by="test", status="held", reasons="")
    )
    erased = erase_at_once(holding.connection, "north")
    assert [(one.table, one.rows, one.leads) for one in erased] == [
        ("conversion_records", 48, 8),
        ("lead_features", 48, 8),
        ("lead_score", 8, 8),
        ("lead_score_history", 16, 8),
        ("answered_score", 8, 8),
        ("judged_score", 8, 8),
        ("feature_skew", 8, 8),
        ("materializations", 3, None),
        ("org_setting", 1, None),
        ("input_counts", 0, None),
        ("scoring_run", 1, None),
        ("org_health", 0, None),
        ("live_evidence", 1, None),
        ("live_performance", 1, None),
        ("input_evidence", 0, None),
        ("live_inputs", 0, None),
        ("due_training", 0, None),
        ("training_claim", 0, None),
        ("ended_training", 1, None),
        ("org_identities", 0, 0),
        ("absent_ids", 0, 0),
    ]
    assert str(erased[7]) == "3 rows from materializations"
    for table in ASSETS_WITH_ROWS:
        assert holding.held(table, POOLED) == holding.held(table, "south") == sorted(holding.leads_of("south"))
    assert holding.lines() == [POOLED, "south"]


def test_what_was_remembered_of_it_goes_too(holding: Holding) -> None:
    holding.delete("org_id = 'south'")
    erase_absent_leads(holding.settings, datetime.now(UTC))
    assert str(erase_at_once(holding.connection, "south")[-1]) == "3 rows of 2 leads from absent_ids"


def test_a_lead_of_the_same_id_in_another_org_stays(holding: Holding) -> None:
    holding.store("east", ["1"])
    erase_at_once(holding.connection, "north", ["1"])
    assert holding.held("lead_features", "east") == ["1"]


def test_the_pools_own_rows_are_erased_by_its_id(holding: Holding) -> None:
    erase_at_once(holding.connection, POOLED)
    assert (holding.held("lead_features", POOLED), len(holding.held("lead_features", "north"))) == ([], 8)


def test_what_is_not_held_is_erased_without_a_word(holding: Holding) -> None:
    assert [one.rows for one in erase_at_once(holding.connection, "west", ["1"])] == [0] * 9


def test_what_is_left_can_be_loaded_in_its_order(holding: Holding) -> None:
    first, *others = holding.leads_of("north")
    erase_at_once(holding.connection, "north", [first])
    loaded, _ = load(holding.connection, "lead_features", "north")
    assert loaded is not None
    assert loaded["lead_id"].tolist() == rows(others)["lead_id"].tolist()


def test_a_database_that_was_not_set_up_says_how_to(database: Settings) -> None:
    with connect(database) as connection, pytest.raises(SourceMismatch, match="set_up_database"):
        erase_at_once(connection, "north")


def test_erasures_and_trainings_at_the_same_time_wait_for_each_other(holding: Holding) -> None:
    leads, failures = holding.leads_of("north"), list[Exception]()
    start = threading.Barrier(4)

    def run(number: int) -> None:
        try:
            with connect(holding.settings) as connection:
                start.wait(timeout=30)
                for _ in range(10):
                    if number % 2:
                        erase_at_once(connection, "north", leads[:4])
                    else:
                        for asset in ASSETS_WITH_ROWS:
                            store(connection, asset, "north", run_id="run", info={}, rows=rows(leads))
        except Exception as error:  # every failure is to be seen, whatever it is
            failures.append(error)

    threads = [threading.Thread(target=run, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_erasure_and_a_scoring_of_another_org_do_not_wait_for_each_other_forever(holding: Holding) -> None:
    """As where a scoring found no lead: its first row is that of the cut points."""
    with ThreadPoolExecutor() as pool, connect(holding.settings) as observer:
        with holding.connection.transaction():
            save_cut_points(holding.connection, "south", Setting())
            erasure = pool.submit(when_named, holding.settings, holding.leads_of("north")[0])
            assert comes_to_wait(observer, erasure, "relation")
            holding.connection.execute(SCORING, ["south", NOW])
        erasure.result(timeout=60)


def when_named(settings: Settings, lead_id: str) -> None:
    with connect(settings) as connection:
        erase_at_once(connection, ORG, [lead_id])


def when_absent(settings: Settings, _: str) -> None:
    erase_absent_leads(replace(settings, org_absent_days=0, max_orgs_removed_share=1), datetime.now(UTC))


@pytest.mark.parametrize("erase", [when_named, when_absent])
def test_a_scoring_that_has_read_an_erased_lead_writes_it_before_the_erasure(
    scored: Scored, monkeypatch: pytest.MonkeyPatch, erase: Callable[[Settings, str], None]
) -> None:
    """So the lead does not come back, although the scoring wrote it when it had left the CRM."""
    lead_id = str(scored.value("SELECT max(id) FROM dossier WHERE status = 'NEW'"))
    said_at = NOW - timedelta(days=1)
    create_month_of_history(scored.connection, said_at)
    scored.connection.execute(SAID, [ORG, lead_id, said_at])
    read, waited = scoring.read_open_leads, list[bool]()

    def read_while_it_is_erased(*arguments: Any, **options: Any) -> Any:
        found = read(*arguments, **options)
        assert lead_id in found.leads.ids
        with connect(scored.settings) as other:
            other.execute("DELETE FROM dossier WHERE id = %s", [lead_id])
            erasures.append(pool.submit(erase, scored.settings, lead_id))
            waited.append(comes_to_wait(other, erasures[0]))
        return found

    monkeypatch.setattr(scoring, "read_open_leads", read_while_it_is_erased)
    erasures: list[Any] = []
    with ThreadPoolExecutor() as pool:
        assert scored.score().changed > 1
        erasures[0].result(timeout=60)
    for table in ("lead_score", "lead_score_history"):
        held = {row[0] for row in scored.rows(f"SELECT DISTINCT lead_id FROM leadscore.{table}")}
        assert (lead_id in held, len(held) > 1) == (False, True)
    assert waited == [True]


def test_of_the_leads_that_an_org_is_known_by_only_those_that_are_erased_go(holding: Holding) -> None:
    remember(holding.connection, ["north"])
    first, *_, newest = holding.leads_of("north")
    erase_at_once(holding.connection, "north", [first])
    assert holding.column("SELECT lead_id FROM leadscore.org_identities") == [newest]


def test_the_next_customer_of_an_org_that_was_gone_for_long_is_noticed_though_no_lead_is_remembered(
    holding: Holding,
) -> None:
    remember(holding.connection, ["north", "south"])
    holding.delete("org_id = 'south'")
    first_seen = datetime.now(UTC) - timedelta(days=8)
    erase_absent_leads(holding.settings, first_seen)
    erase_absent_leads(holding.settings, datetime.now(UTC))
    of_south = "SELECT lead_id FROM leadscore.org_identities WHERE org_id = 'south'"
    assert (holding.column(of_south), holding.lines()) == ([""], [POOLED, "north"])
    assert not is_changed(holding.connection, "south")

    holding.crm.lead(day(1), org_id="south")
    assert is_changed(holding.connection, "south")
    assert not is_changed(holding.connection, "north")
    remember(holding.connection, ["south"])
    assert (len(holding.column(of_south)), is_changed(holding.connection, "south")) == (1, False)


def test_an_org_that_stays_gone_is_erased_once(holding: Holding) -> None:
    remember(holding.connection, ["south"])
    holding.delete("org_id = 'south'")
    for days in (20, 12, 4, 0):
        absent, erased = erase_absent_leads(holding.settings, datetime.now(UTC) - timedelta(days=days))
    assert (absent.absent, erased, holding.column("SELECT org_id FROM leadscore.absent_ids")) == (0, [], [])


def test_leads_by_which_an_org_was_known_before_it_changed_hands_go_after_their_time(holding: Holding) -> None:
    remember(holding.connection, ["south"])
    holding.delete("org_id = 'south'")
    holding.crm.lead(day(1), org_id="south")
    of_south = "SELECT lead_id FROM leadscore.org_identities WHERE org_id = 'south'"
    erase_absent_leads(holding.settings, datetime.now(UTC) + timedelta(days=6))
    assert len(holding.column(of_south)) == 2
    erase_absent_leads(holding.settings, datetime.now(UTC) + timedelta(days=8))
    assert holding.column(of_south) == [""]
    assert is_changed(holding.connection, "south")
