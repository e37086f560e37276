"""Random CRMs with all that goes wrong in real ones: reopened, merged and misdated leads, ties, infinite times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.models.harness.plain_records import DAY, PlainCrm, Written
from leadscore.records import Window
from standalone.crm import TABLES, create_tables

ORGS = ("north", "north", "north", "south")
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
ZONES = ("UTC", "UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
STATUSES = ("NEW", "QUALIFYING", "APPOINTMENT", "WON", "WON", "LOST", "LOST", "ON_HOLD")
IMPOSSIBLE: tuple[Written, ...] = (
    "infinity",
    "-infinity",
    datetime(1, 1, 1),
    datetime(1989, 12, 31, 23, 59),
    datetime(2062, 4, 11),
)
# wall times that clocks showed twice or not at all, in the zones above
DST_NIGHTS: tuple[datetime, ...] = (
    datetime(2026, 3, 29, 2, 30),
    datetime(2026, 3, 8, 2, 30),
    datetime(2025, 11, 2, 1, 30),
    datetime(2026, 4, 5, 1, 45),
)
# days after a lead's creation at which something decides: its creation, the landmarks, the ends of the windows
CORNERS = (0, 0, 1, 3, 7, 14, 30, 45, 60, 90)


def random_window(chance: Random) -> Window:
    """Return rules of every kind, as settings may make them."""
    return Window(
        as_of=AS_OF,
        training_window_days=chance.choice((183, 60)),
        conversion_window_days=chance.choice((90, 90, 45)),
        conversion_statuses=chance.choice((("WON",), ("WON",), ("APPOINTMENT", "WON"))),
        landmark_days=chance.choice(((0, 1, 3, 7, 14, 30), (0, 1, 3, 7, 14, 30), (1, 7), (30,))),
        lost_statuses=chance.choice((("LOST",), ("LOST",), ("LOST", "ON_HOLD"))),
        conversion_is_final=chance.random() < 0.3,
        crm_time_zone=chance.choice(ZONES),
    )


def random_crm(chance: Random, leads: int) -> PlainCrm:
    """Return a CRM of two orgs with `leads` leads in all."""
    crm = PlainCrm()
    for lead_id in range(1, leads + 1):
        _add_lead(crm, chance, lead_id)
    return crm


def create_tables_for_any_status(connection: psycopg.Connection[Any]) -> None:
    """Create the CRM's tables, without their lists of statuses."""
    create_tables(connection)
    connection.execute("ALTER TABLE dossier DROP CONSTRAINT dossier_status_check")
    connection.execute("ALTER TABLE dossier_status_history DROP CONSTRAINT dossier_status_history_to_status_check")


def load(connection: psycopg.Connection[Any], crm: PlainCrm) -> None:
    """Replace the rows of the CRM's tables, which exist, by those of `crm`."""
    connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.Identifier, TABLES))))
    for name in TABLES:
        rows = getattr(crm, name)
        if not rows:
            continue
        columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
        with connection.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), columns)) as copy:
            for row in rows:
                copy.write_row(list(row.values()))


def _add_lead(crm: PlainCrm, chance: Random, lead_id: int) -> None:
    org_id = chance.choice(ORGS)
    base = (
        AS_OF - chance.choice((chance.uniform(-3, 800), chance.uniform(0, 180), chance.uniform(0, 120), 100, 60)) * DAY
    ).replace(tzinfo=None)
    base = chance.choice(DST_NIGHTS) if chance.random() < 0.05 else base
    moves = [(chance.choice(STATUSES), _time(chance, base)) for _ in range(chance.choice((0, 1, 1, 2, 3, 5)))]
    # mostly as a CRM keeps it: the status is that of the last move
    status = moves[-1][0] if moves and chance.random() < 0.85 else chance.choice(STATUSES)
    crm.dossier.append(
        {
            "id": lead_id,
            "org_id": org_id,
            "status": status,
            "created_at": _impossible(chance, 0.03) or base,
            "updated_at": base,
            "annonce_id": _add_listing(crm, chance, org_id, base),
        }
    )
    for to_status, moved_at in moves:
        _add(
            crm.dossier_status_history,
            org_id=chance.choice((org_id, org_id, org_id, "south")),
            dossier_id=lead_id,
            to_status=to_status,
            transitioned_at=moved_at,
        )
    _add_events(crm, chance, org_id, lead_id, base)


def _add_listing(crm: PlainCrm, chance: Random, org_id: str, base: datetime) -> int | None:
    if chance.random() < 0.4:
        return None
    listed_at = chance.choice((None, base - DAY, base + 5 * DAY, _impossible(chance, 0.5)))
    return _add(
        crm.annonce,
        org_id=org_id,
        title="House",
        status="ACTIVE",
        price=chance.choice((None, 99.5, 250_000)),
        photos_json=chance.choice((None, "[]", '["a.jpg"]')),
        created_at=listed_at,
    )


def _add_events(crm: PlainCrm, chance: Random, org_id: str, lead_id: int, base: datetime) -> None:
    if chance.random() < 0.5:
        _add(crm.lead_score, org_id=org_id, dossier_id=lead_id, source_score=chance.randrange(30))
    for _ in range(chance.choice((0, 1, 3, 8))):
        direction = chance.choice(("INBOUND", "OUTBOUND"))
        whose = chance.choice((org_id, org_id, "north"))
        _add(crm.message, org_id=whose, dossier_id=lead_id, direction=direction, timestamp=_time(chance, base))
    for _ in range(chance.choice((0, 0, 1, 2))):
        times = {"start_time": base, "end_time": base}
        booked_at = chance.choice((None, _time(chance, base), _time(chance, base)))
        changed_at = chance.choice((None, _time(chance, base)))
        status = chance.choice(("SCHEDULED", "CANCELLED"))
        _add(
            crm.appointment,
            org_id=org_id,
            dossier_id=lead_id,
            status=status,
            created_at=booked_at,
            updated_at=changed_at,
            **times,
        )


def _add(rows: list[dict[str, Any]], **values: Any) -> int:
    rows.append({"id": len(rows) + 1, **values})
    return len(rows)


def _time(chance: Random, base: datetime) -> Written:
    """Return a time around a lead's life: often at the very moment that decides something, or at one a hair beside."""
    days = chance.choice((chance.choice(CORNERS), chance.choice(CORNERS), chance.uniform(-2, 120)))
    beside = timedelta(microseconds=chance.choice((-1, 0, 0, 0, 1)))
    return _impossible(chance, 0.03) or base + days * DAY + beside


def _impossible(chance: Random, share: float) -> Written:
    return chance.choice(IMPOSSIBLE) if chance.random() < share else None
