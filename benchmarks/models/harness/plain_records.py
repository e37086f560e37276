"""The rules of the records in plain Python, one lead and one landmark at a time, to compare the SQL with.

It is written without a look at the SQL: slow, and as the documentation says it. Times are as the CRM wrote them:
datetimes without a zone, or the words with which PostgreSQL writes what is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

from leadscore.records import Window, crm_time

DAY = timedelta(days=1)
EARLIEST = datetime(1990, 1, 1)
Written = datetime | Literal["infinity", "-infinity"] | None
Row = dict[str, Any]
Outcome = Literal["open", "converted", "lost"]


@dataclass
class PlainCrm:
    """The CRM's tables, each a list of rows, in the order in which they were written."""

    dossier: list[Row] = field(default_factory=list)
    dossier_status_history: list[Row] = field(default_factory=list)
    message: list[Row] = field(default_factory=list)
    appointment: list[Row] = field(default_factory=list)
    annonce: list[Row] = field(default_factory=list)
    lead_score: list[Row] = field(default_factory=list)

    def of_org(self, org_id: str) -> PlainCrm:
        """Return the rows of one org."""
        return PlainCrm(**{name: [row for row in rows if row["org_id"] == org_id] for name, rows in vars(self).items()})


@dataclass
class PlainLead:
    """One lead: its row, and its moves in order, as (moment, what it then is)."""

    row: Row
    created_at: datetime | None
    moves: list[tuple[datetime, Outcome]]

    def state_at(self, moment: datetime) -> Outcome:
        """Return what the lead is: what its last move by then has made of it."""
        return ([state for moved_at, state in self.moves if moved_at <= moment] or ["open"])[-1]


class PlainRules:
    """One org's records in `window`, by the rules."""

    def __init__(self, crm: PlainCrm, window: Window, now: datetime) -> None:
        self.crm, self.window = crm, window
        self.as_of, self.latest = crm_time(window.as_of), crm_time(now) + DAY
        self.leads = [self._lead(row) for row in crm.dossier]
        self.creation_days = sorted(
            lead.created_at.date() for lead in self.leads if lead.created_at and lead.created_at <= self.as_of
        )

    def rows(self) -> list[Row]:
        """Return every row of every record, by creation, id and age."""
        records = [lead for lead in self.leads if self._is_in_window(lead) and self.excluded_because(lead) is None]
        records.sort(key=lambda lead: (lead.created_at, lead.row["id"]))
        return [self._row(lead, days) for lead in records for days in self._open_landmarks(lead)]

    def excluded(self) -> dict[str, int]:
        """Return how many leads are no records, by reason."""
        counts: dict[str, int] = {}
        for lead in self.leads:
            reason = self.excluded_because(lead) if self._is_in_window(lead) or lead.created_at is None else None
            if reason:
                counts[reason] = counts.get(reason, 0) + 1
        return counts

    def excluded_because(self, lead: PlainLead) -> str | None:
        """Return why the lead is no record; None when it is one."""
        if lead.created_at is None:
            return "creation_time_unknown"
        if self._closing_is_unwritten(lead):
            return "outcome_time_unknown"
        if self._was_never_open(lead):
            return "closed_at_creation"
        if lead.state_at(self._decided_at(lead)) == "open" and self._window_end(lead) > self.as_of:
            return "still_open"
        return None if self._open_landmarks(lead) else "open_at_no_landmark"

    def moment(self, written: Written) -> datetime | None:
        """Return the moment (UTC) that the CRM wrote, None when it cannot be one."""
        if not isinstance(written, datetime) or not EARLIEST <= written <= self.latest:
            return None
        # of two moments with one wall time, and of a wall time that no clock showed, the later
        zone = ZoneInfo(self.window.crm_time_zone)
        return max(crm_time(written.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))

    def _lead(self, row: Row) -> PlainLead:
        created_at = self.moment(row["created_at"])
        moves = [
            (moved_at, self._state(move["to_status"]))
            for move in self.crm.dossier_status_history
            if move["dossier_id"] == row["id"] and (moved_at := self.moment(move["transitioned_at"])) is not None
        ]
        moves.sort(key=lambda move: move[0])  # of moves at one moment, the one written last counts
        since = [move for move in moves if created_at is not None and move[0] >= created_at]
        if self.window.conversion_is_final:
            first = next((nth for nth, (_, state) in enumerate(since) if state == "converted"), len(since))
            since = since[: first + 1]
        return PlainLead(row, created_at, since)

    def _state(self, status: str) -> Outcome:
        if status in self.window.conversion_statuses:
            return "converted"
        return "lost" if status in self.window.lost_statuses else "open"

    def _is_in_window(self, lead: PlainLead) -> bool:
        start = self.as_of - self.window.training_window_days * DAY
        return lead.created_at is not None and start < lead.created_at <= self.as_of

    def _window_end(self, lead: PlainLead) -> datetime:
        assert lead.created_at
        return lead.created_at + self.window.conversion_window_days * DAY

    def _decided_at(self, lead: PlainLead) -> datetime:
        return min(self._window_end(lead), self.as_of)

    def _closing_is_unwritten(self, lead: PlainLead) -> bool:
        present = self._state(lead.row["status"])
        last: Outcome = lead.moves[-1][1] if lead.moves else "open"
        if self.window.conversion_is_final and last == "converted":
            return False
        return present not in ("open", last)

    def _was_never_open(self, lead: PlainLead) -> bool:
        assert lead.created_at
        moments = [lead.created_at, *(moved_at for moved_at, _ in lead.moves)]
        return all(lead.state_at(moment) != "open" for moment in moments if moment <= self.as_of)

    def _open_landmarks(self, lead: PlainLead) -> list[int]:
        assert lead.created_at
        ages = ((days, lead.created_at + days * DAY) for days in self.window.landmark_days)
        return [days for days, moment in ages if moment <= self.as_of and lead.state_at(moment) == "open"]

    def _row(self, lead: PlainLead, days: int) -> Row:
        assert lead.created_at
        return {
            "lead_id": str(lead.row["id"]),
            "created_on": lead.created_at.date().isoformat(),
            "landmark_days": days,
            "converted": int(lead.state_at(self._decided_at(lead)) == "converted"),
        } | self._features(lead, lead.created_at, lead.created_at + days * DAY, days)

    def _features(self, lead: PlainLead, created_at: datetime, now: datetime, days: int) -> dict[str, float]:
        messages = [
            (sent_at, message["direction"])
            for message in self._of_lead(self.crm.message, lead)
            if (sent_at := self.moment(message["timestamp"])) is not None and sent_at <= now
        ]
        inbound = sum(direction == "INBOUND" for _, direction in messages)
        sent = [sent_at for sent_at, direction in messages if direction == "OUTBOUND"]
        answers = [sent_at - created_at for sent_at in sent if sent_at >= created_at]
        listing = next((row for row in self.crm.annonce if row["id"] == lead.row["annonce_id"]), None)
        listed_at = self.moment(listing["created_at"]) if listing else None
        has_listing = listing is not None and (listed_at is None or listed_at <= now)
        scores = [row["source_score"] for row in self._of_lead(self.crm.lead_score, lead)]
        return {
            "lead_source_score": scores[0] if scores else 10,
            "response_time_minutes": min(answers) / timedelta(minutes=1) if answers else math.nan,
            "inbound_messages_count": inbound,
            "outbound_messages_count": len(sent),
            "appointments_count": sum(self._is_booked(row, now) for row in self._of_lead(self.crm.appointment, lead)),
            "has_property": has_listing,
            "property_price": float(listing["price"] or 0) if listing and has_listing else 0,
            "property_has_photos": has_listing and listing is not None and listing["photos_json"] not in (None, "[]"),
            "engagement_rate": inbound / len(sent) if sent else 0,
            "days_since_creation": days,
            "market_activity_score": self._market(now.date()),
        }

    @staticmethod
    def _of_lead(rows: list[Row], lead: PlainLead) -> Iterator[Row]:
        return (row for row in rows if row["dossier_id"] == lead.row["id"])

    def _is_booked(self, appointment: Row, now: datetime) -> bool:
        booked_at, changed_at = self.moment(appointment["created_at"]), self.moment(appointment["updated_at"])
        if booked_at is None or booked_at > now:
            return False
        is_cancelled = (
            appointment["status"] == "CANCELLED" and changed_at is not None and booked_at <= changed_at <= now
        )
        return not is_cancelled

    def _market(self, today: date) -> float:
        before = [day for day in self.creation_days if day < today]
        followed = [day for day, later in pairwise(before) if (later - day).days < 30]
        begin = next((day for day in followed if (today - day).days <= 395), None)
        past = sum((today - day).days <= 365 for day in before)
        if begin is None or (today - begin).days < 30 or past == 0:
            return 50
        recent = sum((today - day).days <= 30 for day in before)
        return min(100, 50 * recent / (30 * past / min(365, (today - begin).days)))
