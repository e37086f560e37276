"""The SQL against the same rules written down plainly in Python, one lead and one landmark at a time."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from tests.leadscore_assets.source.hand_made_crm import AS_OF, ORG, Crm, window

DAY = timedelta(days=1)
LANDMARKS = window().landmark_days


class PlainOrg:
    """One org's tables as lists of dicts, and the rules over them."""

    def __init__(self, crm: Crm) -> None:
        self.leads = self._read(crm, "dossier")
        self.moves = self._read(crm, "dossier_status_history")
        self.messages = self._read(crm, "message")
        self.appointments = self._read(crm, "appointment")
        self.listings = {listing["id"]: listing for listing in self._read(crm, "annonce")}
        self.scores = {score["dossier_id"]: score["source_score"] for score in self._read(crm, "lead_score")}

    @staticmethod
    def _read(crm: Crm, table: str) -> list[dict[str, Any]]:
        cursor = crm.connection.execute(f"SELECT * FROM {table} WHERE org_id = %s", [ORG])
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def rows(self) -> list[dict[str, Any]]:
        leads = sorted(self.leads, key=lambda lead: (lead["created_at"], lead["id"]))
        return [row for lead in leads if AS_OF - 183 * DAY < lead["created_at"] <= AS_OF for row in self.rows_of(lead)]

    def rows_of(self, lead: dict[str, Any]) -> list[dict[str, Any]]:
        closings = [
            (move["transitioned_at"], move["to_status"])
            for move in self.moves
            if move["dossier_id"] == lead["id"] and move["to_status"] in ("WON", "LOST")
        ]
        if not closings and lead["status"] in ("WON", "LOST"):
            return []
        known = sorted(closing for closing in closings if closing[0] <= AS_OF)
        window_end = lead["created_at"] + 90 * DAY
        if not known and window_end > AS_OF:
            return []
        closed_at = known[0][0] if known else datetime.max
        converted = any(status == "WON" and at <= window_end for at, status in known)
        open_at = [days for days in LANDMARKS if lead["created_at"] + days * DAY < closed_at]
        return [
            {
                "lead_id": str(lead["id"]),
                "created_on": lead["created_at"].date().isoformat(),
                "landmark_days": days,
                "converted": int(converted),
            }
            | self.features(lead, days)
            for days in open_at
        ]

    def features(self, lead: dict[str, Any], days: int) -> dict[str, float]:
        now = lead["created_at"] + days * DAY
        messages = [m for m in self.messages if m["dossier_id"] == lead["id"] and m["timestamp"] <= now]
        inbound = sum(message["direction"] == "INBOUND" for message in messages)
        sent = [message["timestamp"] for message in messages if message["direction"] == "OUTBOUND"]
        answers = [at - lead["created_at"] for at in sent if at >= lead["created_at"]]
        listing = self.listings.get(lead["annonce_id"], {"created_at": datetime.max})
        has_listing = listing["created_at"] is None or listing["created_at"] <= now
        return {
            "lead_source_score": self.scores.get(lead["id"], 10),
            "response_time_minutes": min(answers) / timedelta(minutes=1) if answers else math.nan,
            "inbound_messages_count": inbound,
            "outbound_messages_count": len(sent),
            "appointments_count": sum(
                self.is_booked(a, now) for a in self.appointments if a["dossier_id"] == lead["id"]
            ),
            "has_property": has_listing,
            "property_price": float(listing["price"] or 0) if has_listing else 0,
            "property_has_photos": has_listing and bool(listing["photos_json"]),
            "engagement_rate": inbound / len(sent) if sent else 0,
            "days_since_creation": days,
            "market_activity_score": self.market(now),
        }

    @staticmethod
    def is_booked(appointment: dict[str, Any], now: datetime) -> bool:
        changed_at = appointment["updated_at"]
        is_cancelled = appointment["status"] == "CANCELLED" and changed_at is not None and changed_at <= now
        return appointment["created_at"] <= now and not is_cancelled

    def market(self, now: datetime) -> float:
        ages = [(now.date() - lead["created_at"].date()).days for lead in self.leads]
        past_days = min(365, max(ages))
        past = sum(1 <= age <= 365 for age in ages)
        if past_days < 30 or past == 0:
            return 50
        recent = sum(1 <= age <= 30 for age in ages)
        return min(100, 50 * recent / (30 * past / past_days))


def fill(crm: Crm, chance: random.Random) -> None:
    """Make leads of every kind, with events before, during and after their lives, for two orgs at once."""
    for _ in range(60):
        org_id = chance.choice((ORG, ORG, "south"))
        created_at = AS_OF - chance.uniform(-5, 260) * DAY
        moves = [
            (status, created_at + chance.uniform(-2, 120) * DAY)
            for status in ("QUALIFIED", "WON", "LOST")
            if chance.random() < 0.35
        ]
        known_at = chance.choice((None, created_at - DAY, created_at + 5 * DAY))
        photos = chance.choice((None, "[]", '["a.jpg"]'))
        listing = crm.listing(org_id=org_id, price=chance.choice((None, 99.5)), photos_json=photos, created_at=known_at)
        lead = crm.lead(
            created_at,
            *moves,
            status=chance.choice(("NEW", "NEW", "WON", "LOST")),
            org_id=org_id,
            annonce_id=chance.choice((None, listing)),
        )
        if chance.random() < 0.5:
            crm.insert("lead_score", org_id=org_id, dossier_id=int(lead), source_score=chance.randrange(30))
        for _ in range(chance.randrange(12)):
            happened_at = created_at + chance.uniform(-0.2, 1) * chance.choice((1, 10, 80)) * DAY
            crm.message(lead, happened_at, chance.choice(("INBOUND", "OUTBOUND")), org_id=chance.choice((org_id, ORG)))
            status = chance.choice(("SCHEDULED", "CANCELLED"))
            changed_at = chance.choice((None, happened_at + chance.uniform(0, 20) * DAY))
            crm.appointment(lead, happened_at, status, changed_at, org_id=org_id)


@pytest.mark.parametrize("seed", range(4))
def test_the_sql_gives_what_the_rules_give_in_plain_python(crm: Crm, seed: int) -> None:
    fill(crm, random.Random(seed))
    rows = crm.extract().rows
    assert len(rows) > 50
    expected = pd.DataFrame(PlainOrg(crm).rows()).astype(dict(rows.dtypes))
    pd.testing.assert_frame_equal(rows, expected, rtol=1e-12, atol=0)
