"""The figures and links that people see of a materialization."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from leadscore.records import RecordCounts, window_from
from leadscore.settings import Settings
from leadscore_assets.metadata.figures import records_metadata, version_links

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
