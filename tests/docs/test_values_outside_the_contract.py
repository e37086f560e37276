"""The line of SQL that docs/training.md gives for values outside the contract works, in a copy of our SQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from leadscore.features import CONTRACT
from leadscore.records import RecordCounts
from leadscore.settings import Settings
from leadscore_assets.source.extraction import RECORDS_SQL, extract
from leadscore_assets.training.contract_check import check_rows
from tests.docs.documents import TRAINING, blocks, section
from tests.leadscore_assets.source.hand_made_crm import ORG, Crm, day, window


def test_a_price_below_0_counts_as_none_by_the_documented_line(database: Settings, tmp_path: Path) -> None:
    crm = Crm(database)
    for price in (-1, None, 250_000):
        crm.lead(day(100), ("WON", day(98)), annonce_id=crm.listing(price=price))
    [ours, theirs] = blocks("sql", section(TRAINING, "Values outside the contract"))
    sql, copy = RECORDS_SQL.read_text(), tmp_path / "records.sql"
    assert sql.count(ours.strip()) == 1
    copy.write_text(sql.replace(ours.strip(), theirs.strip()))

    before, prices_before = checked(database)
    after, prices_after = checked(replace(database, records_sql=copy))

    assert (before.set_aside, before.set_aside_rows, before.records, before.lost_records) == (
        {"property_price below 0": 2},
        2,
        2,
        1,
    )
    assert (after.set_aside, after.records, after.lost_records) == ({}, 3, 0)
    assert (prices_before, prices_after) == ([0, 0, 250_000, 250_000], [0, 0, 0, 0, 250_000, 250_000])
    crm.connection.close()


def checked(settings: Settings) -> tuple[RecordCounts, list[float]]:
    """Return the org's counts and prices, after its rows were checked against the contract."""
    features = check_rows(extract(settings, ORG, window()), CONTRACT)
    return features.counts, features.rows["property_price"].tolist()
