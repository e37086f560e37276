"""Rows are checked against the contract: bad ones are set aside and counted, and good ones named by a fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from leadscore.features import CONTRACT
from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.settings import Settings
from leadscore_assets.dataset import ORG_COLUMN, ConversionRecords, FeatureRows
from leadscore_assets.resources import Crm
from leadscore_assets.training.contract_check import check_rows


def test_the_rows_name_the_org_in_their_fingerprint(pooled_settings: Settings) -> None:
    """The same leads in another org are other records: the orgs' base values differ."""
    crm = Crm(pooled_settings)
    before = crm.conversion_records(POOLED, window_from(pooled_settings))
    whose = before.rows[ORG_COLUMN].replace("small", "sound")
    after = replace(before, rows=before.rows.assign(**{ORG_COLUMN: whose}))
    assert check_rows(before, CONTRACT).counts.fingerprint != check_rows(after, CONTRACT).counts.fingerprint


def test_a_row_that_breaks_two_rules_is_counted_under_both_and_left_out_once(
    make_features: Callable[..., FeatureRows],
) -> None:
    made = make_features(leads=30)
    rows = made.rows.drop(columns="is_held_out")
    rows.loc[4, ["property_price", "has_property"]] = [-1.0, 2.0]
    rows.loc[5, "property_price"] = -1.0
    checked = check_rows(ConversionRecords(rows, made.counts, made.window), CONTRACT)
    assert checked.counts.set_aside == {"property_price below 0": 2, "has_property above 1": 1}
    assert (checked.counts.set_aside_rows, checked.counts.read_rows) == (2, len(rows))
    assert checked.counts.rows == len(checked.rows) == len(rows) - 2
    assert checked.rows["lead_id"].tolist() == rows["lead_id"].drop([4, 5]).tolist()


def test_records_are_counted_again_without_the_leads_of_which_no_row_is_left(
    make_features: Callable[..., FeatureRows],
) -> None:
    made = make_features(leads=30)
    rows = made.rows.drop(columns="is_held_out")
    lost = rows["lead_id"].isin(rows.loc[rows["converted"] == 1, "lead_id"].unique()[:2])
    rows.loc[lost, "property_price"] = -1.0
    before = check_rows(ConversionRecords(made.rows.drop(columns="is_held_out"), made.counts, made.window), CONTRACT)
    after = check_rows(ConversionRecords(rows, made.counts, made.window), CONTRACT)
    assert (after.counts.records, before.counts.records) == (28, 30)
    assert (after.counts.lost_records, before.counts.lost_records) == (2, 0)
    assert after.counts.set_aside_rows == int(lost.sum())
    assert after.counts.converted_records == before.counts.converted_records - 2
    assert after.counts.fingerprint != before.counts.fingerprint
