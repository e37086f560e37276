"""The records of all orgs together are those of each org for itself, and one odd org does not spoil them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from leadscore.errors import DatabaseUnavailable, SourceMismatch
from leadscore.features import CONTRACT
from leadscore_assets.dataset import ORG_COLUMN, ConversionRecords
from leadscore_assets.metadata.figures import counts_metadata
from leadscore_assets.source.extraction import RECORDS_SQL
from leadscore_assets.source.pooled import extract_pooled
from leadscore_assets.training.contract_check import check_rows
from tests.leadscore_assets.source.hand_made_crm import Crm, day, window

ORGS = ("east", "north", "south")


def fill(crm: Crm) -> None:
    """Give each org leads of its own: won, lost, still open, with messages, on days that the orgs share."""
    for number, org_id in enumerate(ORGS):
        for age in (100, 60, 20):
            won = crm.lead(day(age), ("WON", day(age - 5 - number)), org_id=org_id)
            crm.message(won, day(age - 1), org_id=org_id)
            crm.lead(day(age), ("LOST", day(age - 2)), org_id=org_id)
        crm.lead(day(10), org_id=org_id)


def pool(crm: Crm, orgs: tuple[str, ...] = ORGS, path: Path | None = None) -> ConversionRecords:
    return extract_pooled(replace(crm.settings, records_sql=path), orgs, window())


def test_the_pool_is_the_sum_of_its_orgs(crm: Crm) -> None:
    """Rows, counts and what was left out: nothing is lost, changed or counted twice."""
    fill(crm)
    single = {org_id: crm.extract(org_id) for org_id in ORGS}

    pooled = pool(crm)

    for org_id, records in single.items():
        own = pooled.rows[pooled.rows[ORG_COLUMN] == org_id].drop(columns=ORG_COLUMN).reset_index(drop=True)
        pd.testing.assert_frame_equal(own, records.rows, check_exact=True)
    counts = [records.counts for records in single.values()]
    for name in ("records", "converted_records", "rows"):
        assert getattr(pooled.counts, name) == sum(getattr(count, name) for count in counts) > 0
    assert pooled.counts.excluded == sum((Counter(count.excluded) for count in counts), Counter())
    assert pooled.counts.excluded["still_open"] == len(ORGS)
    assert pooled.counts.sql_sha256 == counts[0].sql_sha256
    assert pooled.window == window()


def test_leads_stand_by_day_of_creation_and_each_ones_rows_together(crm: Crm) -> None:
    fill(crm)
    rows = pool(crm).rows
    assert rows["created_on"].is_monotonic_increasing
    assert (rows["lead_id"] != rows["lead_id"].shift()).sum() == rows["lead_id"].nunique()


def test_a_lead_is_on_the_same_side_of_the_holdout_as_in_its_orgs_own_training(crm: Crm) -> None:
    for number in range(60):
        crm.lead(day(100), ("WON", day(90)), org_id=ORGS[number % 3])
    pooled = check_rows(pool(crm), CONTRACT).rows
    sides = pooled.set_index("lead_id")["is_held_out"]
    own = pd.concat([check_rows(crm.extract(org_id), CONTRACT).rows for org_id in ORGS]).set_index("lead_id")
    assert sides.sort_index().tolist() == own["is_held_out"].sort_index().tolist()
    assert set(sides) == {0, 1}


def test_no_orgs_give_no_records(crm: Crm) -> None:
    pooled = pool(crm, orgs=())
    assert pooled.counts.records == len(pooled.rows) == 0
    assert check_rows(pooled, CONTRACT).counts.records == 0


def changed_sql(path: Path, lead_id: str = "landmarks.lead_id", converted: str = "") -> Path:
    """Write the supplied SQL with another lead id, or with something in place of the outcome; return its path."""
    head, mark, rest = RECORDS_SQL.read_text().rpartition("    landmarks.lead_id,\n")
    assert mark
    query = f"{head}    {lead_id} AS lead_id,\n{rest}"
    if converted:
        outcome = "CASE WHEN landmarks.excluded_because IS NULL THEN landmarks.is_converted::int END AS converted"
        assert outcome in query
        query = query.replace(outcome, f"{converted} AS converted")
    path.write_text(query)
    return path


@pytest.mark.parametrize(
    "outcome",
    ["CASE WHEN %(org_id)s = 'north' THEN 7 ELSE 1 END", "1 / (%(org_id)s <> 'north')::int"],
    ids=["rows that are no records", "a query that fails"],
)
def test_an_org_with_odd_data_is_left_out_named_and_counted(
    crm: Crm, tmp_path: Path, caplog: pytest.LogCaptureFixture, outcome: str
) -> None:
    fill(crm)
    with caplog.at_level(logging.WARNING):
        pooled = pool(crm, path=changed_sql(tmp_path / "site.sql", converted=outcome))
    assert set(pooled.rows[ORG_COLUMN]) == {"east", "south"}
    counts = check_rows(pooled, CONTRACT).counts
    assert (counts.unreadable_orgs, counts.set_aside) == (1, {})
    shown = counts_metadata(counts)
    assert (shown["unreadable_orgs"], shown["set_aside_rows"]) == (1, 0)
    [warning] = caplog.messages
    assert warning.startswith("left out org north: ")


def test_sql_that_fits_no_org_is_refused(crm: Crm, tmp_path: Path) -> None:
    fill(crm)
    with pytest.raises(SourceMismatch, match="lead_id is returned 2 times"):
        pool(crm, path=changed_sql(tmp_path / "site.sql", lead_id="landmarks.lead_id, landmarks.lead_id"))


def test_orgs_that_share_lead_ids_are_refused_with_the_remedy(crm: Crm, tmp_path: Path) -> None:
    """Two leads of one id would be taken for one; with the org's id before it each is itself."""
    fill(crm)
    shared = "(landmarks.id - min(landmarks.id) OVER ())::text"
    with pytest.raises(SourceMismatch, match=r"the orgs cannot be pooled.* Make the ids unique"):
        pool(crm, path=changed_sql(tmp_path / "site.sql", lead_id=shared))
    unique = changed_sql(tmp_path / "site.sql", lead_id=f"%(org_id)s || '/' || {shared}")
    assert pool(crm, path=unique).counts.records == pool(crm).counts.records


def test_a_database_that_is_away_is_no_odd_org(crm: Crm) -> None:
    with pytest.raises(DatabaseUnavailable):
        extract_pooled(replace(crm.settings, db_port=1), ORGS, window())


def test_the_log_tells_how_far_it_is(
    crm: Crm, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadscore_assets.source.pooled.ORGS_BETWEEN_LOG_LINES", 2)
    fill(crm)
    with caplog.at_level(logging.INFO):
        pool(crm)
    assert caplog.messages == ["read 2 orgs with 12 records so far"]
