"""The figures and links that people see of a materialization."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import dagster as dg

from leadscore.records import RecordCounts, window_from
from leadscore.settings import Settings
from leadscore_assets.metadata.figures import counts_metadata, records_metadata, version_links


def rows_of(table: dg.TableMetadataValue) -> list[dict[str, object]]:
    return [dict(record.data) for record in table.records]


def test_what_was_left_out_is_shown_by_reason_with_its_count_and_share_the_largest_first() -> None:
    shown = counts_metadata(
        RecordCounts(
            21,
            9,
            99,
            {"closed_at_creation": 9, "still_open": 50},
            "c0ffee",
            {"has_property above 1": 2, "property_price below 0": 1122},
            "f00d",
            set_aside_rows=1122,
            lost_records=220,
        )
    )
    assert rows_of(shown["set_aside"]) == [
        {"reason": "property_price below 0", "rows": 1122, "share": "91.9%"},
        {"reason": "has_property above 1", "rows": 2, "share": "0.2%"},
    ]
    assert (shown["set_aside_rows"], shown["lost_records"], shown["dagster/row_count"]) == (1122, 220, 99)
    assert rows_of(shown["excluded"]) == [
        {"reason": "still_open", "leads": 50, "share": "16.7%"},
        {"reason": "closed_at_creation", "leads": 9, "share": "3.0%"},
    ]


ORG = "acme.eu@1:a"
QUOTED = "acme.eu%401%3Aa"


def test_a_link_to_an_org_holds_its_id_quoted() -> None:
    settings, counts = Settings(), RecordCounts(1, 1, 1, {}, "c0ffee")
    links = version_links(settings, ORG, "20260315060000")
    links["records"] = records_metadata(settings, ORG, counts, window_from(settings))["info"]
    for link in links.values():
        query = urlsplit(link.url).query
        assert f"org_id={QUOTED}" in query
        assert parse_qs(query)["org_id"] == [ORG]
