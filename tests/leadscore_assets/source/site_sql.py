"""A site that has an SQL file of its own, which each test writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from leadscore.features import CONTRACT
from leadscore_assets.dataset import ConversionRecords
from leadscore_assets.source.extraction import extract
from tests.leadscore_assets.source.hand_made_crm import ORG, Crm, window

COLUMNS = {
    "lead_id": "'7'::text",
    "excluded_because": "NULL::text",
    "created_on": "DATE '2026-01-02'",
    "landmark_days": "0",
    "converted": "1",
    **dict.fromkeys(CONTRACT.names, "1.5::float8"),
}


class Site:
    """A site with an SQL file of its own."""

    def __init__(self, crm: Crm, path: Path) -> None:
        self.path = path
        self.settings = dataclasses.replace(crm.settings, records_sql=path)

    def extract_columns(self, tail: str = "", **columns: str | None) -> ConversionRecords:
        given = {name: text for name, text in (COLUMNS | columns).items() if text is not None}
        return self.extract_sql("SELECT " + ", ".join(f"{text} AS {name}" for name, text in given.items()) + tail)

    def extract_sql(self, query: str) -> ConversionRecords:
        self.path.write_text(query, encoding="utf-8")
        return extract(self.settings, ORG, window())
