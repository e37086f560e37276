"""A CRM made by hand, one lead and one event at a time, in the real tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from leadscore.records import Window
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.dataset import ConversionRecords
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import extract
from standalone.crm import create_tables

ORG = "north"
AS_OF = datetime(2026, 6, 1)  # the CRM's times have no zone
MICROSECOND = timedelta(microseconds=1)


def day(days: float) -> datetime:
    """Return the moment that many days before AS_OF."""
    return AS_OF - timedelta(days=days)


def window(**changed: Any) -> Window:
    """Return the default window that ends at AS_OF, with something changed."""
    values: dict[str, Any] = {
        "as_of": AS_OF.replace(tzinfo=UTC),
        "training_window_days": 183,
        "conversion_window_days": 90,
        "conversion_statuses": ("WON",),
        "landmark_days": (0, 1, 3, 7, 14, 30, 60),
    }
    return Window(**(values | changed))


class Crm:
    """Inserts what it is told; ids are given out in order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        set_up(settings)
        self.connection = connect(settings)
        create_tables(self.connection)

    def insert(self, table: str, **values: Any) -> int:
        """Insert one row; return its id."""
        names, holes = ", ".join(values), ", ".join(["%s"] * len(values))
        query = f"INSERT INTO {table} ({names}) VALUES ({holes}) RETURNING id"
        row: Any = self.connection.execute(query, list(values.values())).fetchone()
        return int(row[0])

    def listing(self, *, org_id: str = ORG, **values: Any) -> int:
        return self.insert("annonce", **({"org_id": org_id, "title": "House", "status": "ACTIVE"} | values))

    def lead(
        self,
        created_at: datetime,
        *closings: tuple[str, datetime],
        status: str | None = None,
        org_id: str = ORG,
        annonce_id: int | None = None,
    ) -> str:
        """Insert a lead with the moves it made, its status being the last of them; return its lead id."""
        status = status or (closings[-1][0] if closings else "NEW")
        lead = self.insert(
            "dossier", org_id=org_id, annonce_id=annonce_id, status=status, created_at=created_at, updated_at=created_at
        )
        for to_status, at in closings:
            self.move(str(lead), to_status, at, org_id=org_id)
        return str(lead)

    def move(self, lead: str, to_status: str, at: datetime, *, org_id: str = ORG) -> None:
        self.insert(
            "dossier_status_history", org_id=org_id, dossier_id=int(lead), to_status=to_status, transitioned_at=at
        )

    def message(self, lead: str, at: datetime, direction: str = "INBOUND", *, org_id: str = ORG) -> None:
        self.insert("message", org_id=org_id, dossier_id=int(lead), direction=direction, timestamp=at)

    def appointment(
        self,
        lead: str,
        booked_at: datetime | None,
        status: str = "SCHEDULED",
        updated_at: datetime | None = None,
        *,
        org_id: str = ORG,
    ) -> None:
        times = {"start_time": AS_OF, "end_time": AS_OF, "created_at": booked_at, "updated_at": updated_at}
        self.insert("appointment", org_id=org_id, dossier_id=int(lead), status=status, **times)

    def extract(self, org_id: str = ORG, **changed: Any) -> ConversionRecords:
        return extract(self.settings, org_id, window(**changed))

    def rows(self, lead: str, **changed: Any) -> dict[int, dict[str, Any]]:
        """Return the lead's rows by landmark."""
        table = self.extract(**changed).rows
        return {row["landmark_days"]: row for row in table[table["lead_id"] == lead].to_dict("records")}

    def values(self, lead: str, feature: str, **changed: Any) -> list[float]:
        """Return one feature of the lead at each of its landmarks."""
        return [row[feature] for row in self.rows(lead, **changed).values()]
