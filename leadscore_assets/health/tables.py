"""The row of `leadscore.org_health` in its parts, and what reads and writes the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from psycopg import sql

from leadscore.gate import Verdict
from leadscore.live_performance import LiveState
from leadscore.org_warnings import OrgWarning
from leadscore.pooling import Scope
from leadscore.registry.org_state import OrgState
from leadscore.training_status import TrainingStatus
from leadscore_assets.source.database import Connection, declare_tables, explaining
from leadscore_assets.source.tables import REMEDY

TABLES_SQL = Path(__file__).with_name("tables.sql")


class Model(msgspec.Struct, frozen=True):
    """Which model scores the org's leads, and the verdict on its last training, as the registry has them."""

    state: OrgState
    state_since: datetime
    problem: str
    model_version: str | None
    model_scope: Scope | None
    activated_at: datetime | None
    trained_at: datetime | None
    judged_version: str | None
    verdict: Verdict | None
    verdict_reasons: list[str]
    judged_at: datetime | None
    held_since: datetime | None


class LastRun(msgspec.Struct, frozen=True):
    """The run that last read the org's records, and how and when the org's last training ended, in whichever run."""

    last_run_at: datetime | None = None
    last_run_id: str | None = None
    last_training: TrainingStatus | None = None
    last_training_at: datetime | None = None


class DataPlan(msgspec.Struct, frozen=True):
    """Whether the org has enough data for a training and, if not, when it is expected to."""

    is_ready: bool | None = None
    records: int | None = None
    records_needed: int | None = None
    ready_on: date | None = None
    readiness: str = ""
    readiness_as_of: datetime | None = None


class OpenLeads(msgspec.Struct, frozen=True):
    """The org's open leads as of their last scoring, and how many have each grade and trend."""

    scored_as_of: datetime | None = None
    scored_at: datetime | None = None
    open_leads: int | None = None
    scored_leads: int | None = None
    leads_a: int = 0
    leads_b: int = 0
    leads_c: int = 0
    leads_d: int = 0
    improving_leads: int = 0
    declining_leads: int = 0


class CameTrue(msgspec.Struct, frozen=True):
    """Whether what the org was promised came true, as of its last proof; `live_state` is None before the first."""

    live_state: LiveState | None = None
    live_leads: int = 0
    live_promised: float | None = None
    live_converted: float | None = None
    live_alarmed_on: date | None = None
    live_judgeable_on: date | None = None
    live_is_listed: bool = False


class Attention(msgspec.Struct, frozen=True):
    """Since when the org has had enough data for a training, and what may need attention in it."""

    ready_since: datetime | None = None
    warnings: list[OrgWarning] = []


PARTS: tuple[type[msgspec.Struct], ...] = (Model, LastRun, DataPlan, OpenLeads, CameTrue, Attention)
COLUMNS = ("org_id", *chain.from_iterable(part.__struct_fields__ for part in PARTS))


class OrgHealth(msgspec.Struct, frozen=True):
    """How one org stands."""

    org_id: str
    model: Model
    last_run: LastRun
    plan: DataPlan
    open_leads: OpenLeads
    came_true: CameTrue
    attention: Attention

    @property
    def values(self) -> tuple[Any, ...]:
        """The row's values, in the order of COLUMNS."""
        parts = (self.model, self.last_run, self.plan, self.open_leads, self.came_true, self.attention)
        return (self.org_id, *chain.from_iterable(msgspec.structs.astuple(part) for part in parts))

    @classmethod
    def of(cls, values: Sequence[Any]) -> OrgHealth:
        """Return what a row holds, whose values are in the order of COLUMNS."""
        org_id, *rest = values
        parts: list[Any] = []
        for part in PARTS:
            width = len(part.__struct_fields__)
            parts.append(part(*rest[:width]))
            rest = rest[width:]
        return cls(org_id, *parts)


def create_tables(connection: Connection) -> None:
    """Create what `tables.sql` declares where it is absent."""
    declare_tables(connection, TABLES_SQL)


def stored(connection: Connection) -> dict[str, OrgHealth]:
    """Return the table's rows by org. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    query = sql.SQL("SELECT {} FROM leadscore.org_health").format(sql.SQL(", ").join(map(sql.Identifier, COLUMNS)))
    with explaining("reading org_health", REMEDY), connection.transaction():
        return {str(values[0]): OrgHealth.of(values) for values in connection.execute(query)}


def write(connection: Connection, known: Mapping[str, OrgHealth], rows: Collection[OrgHealth]) -> int:
    """Make `rows` the table's, which has `known` ones; return how many were written or removed.

    Only what differs is written, in one transaction. Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    changed = [row.values for row in rows if known.get(row.org_id) != row]
    gone = sorted(known.keys() - {row.org_id for row in rows})
    with explaining("writing org_health", REMEDY), connection.transaction():
        if changed:
            with connection.cursor() as cursor:
                cursor.executemany(_UPSERT, changed)
        if gone:
            connection.execute("DELETE FROM leadscore.org_health WHERE org_id = ANY (%s)", [gone])
        connection.execute(_REFRESHED)
    return len(changed) + len(gone)


_UPSERT = sql.SQL(
    "INSERT INTO leadscore.org_health ({columns}) VALUES ({places}) ON CONFLICT (org_id) DO UPDATE SET {replaced}"
).format(
    columns=sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
    places=sql.SQL(", ").join(sql.Placeholder() * len(COLUMNS)),
    replaced=sql.SQL(", ").join(
        [
            *(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in COLUMNS[1:]),
            sql.SQL("changed_at = now()"),
        ]
    ),
)
_REFRESHED = """
INSERT INTO leadscore.org_health_refresh (refreshed_at) VALUES (now())
ON CONFLICT (is_only_row) DO UPDATE SET refreshed_at = excluded.refreshed_at
"""
