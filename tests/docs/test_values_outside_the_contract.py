"""The view that docs/training.md gives for values outside the contract works."""

from __future__ import annotations

from leadscore.features import CONTRACT
from leadscore.records import RecordCounts
from leadscore.settings import Settings
from leadscore_assets.source.extraction import extract
from leadscore_assets.training.contract_check import check_rows
from tests.docs.documents import TRAINING, blocks, section
from tests.leadscore_assets.source.hand_made_crm import ORG, Crm, day, window


def test_a_price_below_0_counts_as_none_by_the_documented_view(database: Settings) -> None:
    crm = Crm(database)
    for price in (-1, None, 250_000):
        crm.lead(day(100), ("WON", day(98)), annonce_id=crm.listing(price=price))
    before, prices_before = checked(database)

    [view] = blocks("sql", section(TRAINING, "Values outside the contract"))
    ours = {"TO leadscore": f"TO {database.db_user}", "ROLE leadscore": f"ROLE {database.db_user}"}
    for theirs, name in (ours | {"DATABASE crm": f"DATABASE {database.db_name}"}).items():
        assert theirs in view
        view = view.replace(theirs, name)
    crm.connection.execute(view.encode())
    after, prices_after = checked(database)

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
