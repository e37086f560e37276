"""Finds the leads and orgs that we hold and the CRM no longer has, and erases them after ORG_ABSENT_DAYS.

`leadscore.absent_ids` remembers since when each is absent; an id that is back, or that we no longer hold, leaves it.
When more than MAX_ORGS_REMOVED_SHARE of all leads that we hold are due at once, nothing is erased until an operator
acts: a reload may have emptied the CRM's table for a moment. Leads of which callers alone have told us, in requests for
scores, are erased like the others but not counted: their ids may never have been the CRM's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets.retention.erasure import Erased, erase_absent, erasing
from leadscore_assets.retention.held_ids import OF_LEADS, OF_ORGS, Held
from leadscore_assets.source.database import TABLES_LOCK, Connection, connect, explaining

CHECK = "leads_are_in_crm"
SHOWN_ORGS = 20
REMEDY = (
    "Run `python -m leadscore_assets.commands.set_up_database`, which creates our tables. If the CRM's table of leads"
    " has another name, create a view named dossier."
)

# an empty lead_id stands for the org itself: it has no leads any more
TABLE = """
CREATE TABLE IF NOT EXISTS leadscore.absent_ids (
    org_id       text NOT NULL,
    lead_id      text NOT NULL,
    absent_since timestamptz NOT NULL,
    PRIMARY KEY (org_id, lead_id)
)
"""
# Ids are compared as text, whatever types the CRM's columns have.
ABSENT = """
WITH
held AS ({held}),
absent AS (
    SELECT org_id, lead_id FROM held
    WHERE lead_id <> ''
        AND NOT EXISTS (
            SELECT FROM dossier WHERE dossier.org_id::text = held.org_id AND dossier.id::text = held.lead_id
        )
    UNION ALL
    SELECT org_id, lead_id FROM held
    WHERE lead_id = '' AND NOT EXISTS (SELECT FROM dossier WHERE dossier.org_id::text = held.org_id)
)
"""
REMEMBER = """,
forgotten AS (
    DELETE FROM leadscore.absent_ids AS known
    WHERE NOT EXISTS (SELECT FROM absent WHERE absent.org_id = known.org_id AND absent.lead_id = known.lead_id)
),
remembered AS (
    INSERT INTO leadscore.absent_ids (org_id, lead_id, absent_since) SELECT org_id, lead_id, %(now)s FROM absent
    ON CONFLICT DO NOTHING
)
"""
# What the parts of one statement change, it does not see itself.
COUNT = """
SELECT
    held.org_id,
    count(*) FILTER (WHERE held.lead_id <> '') AS held_leads,
    count(absent.lead_id) FILTER (WHERE held.lead_id <> '') AS absent_leads,
    count(absent.lead_id) FILTER (
        WHERE held.lead_id <> '' AND coalesce(known.absent_since, %(now)s) <= %(absent_until)s
    ) AS due_leads,
    min(coalesce(known.absent_since, %(now)s)) FILTER (WHERE absent.org_id IS NOT NULL) AS first_absent
FROM held
LEFT JOIN absent ON absent.org_id = held.org_id AND absent.lead_id = held.lead_id
LEFT JOIN leadscore.absent_ids AS known ON known.org_id = absent.org_id AND known.lead_id = absent.lead_id
WHERE held.is_from_crm
GROUP BY held.org_id
ORDER BY held.org_id
"""


IN_CRM = """
SELECT count(*) FROM dossier
WHERE org_id::text = %(org_id)s AND (cardinality(%(lead_ids)s::text[]) = 0 OR id::text = ANY (%(lead_ids)s::text[]))
"""


@dataclass(frozen=True)
class AbsentLeads:
    """How many leads we hold, how many of them the CRM no longer has, per org, and how many of these are due."""

    held: int
    by_org: dict[str, int]
    due: int
    first: datetime | None
    most_at_once: int
    absent_days: float
    has_own_sql: bool

    @property
    def absent(self) -> int:
        """The leads that the CRM no longer has."""
        return sum(self.by_org.values())

    @property
    def is_too_many(self) -> bool:
        """Whether more leads are absent than may be erased at once."""
        return self.absent > self.most_at_once

    @property
    def is_withheld(self) -> bool:
        """Whether more leads are due than may be erased at once, so that nothing is erased."""
        return self.due > self.most_at_once

    def __str__(self) -> str:
        if not self.absent or self.first is None:
            return f"the CRM has all {self.held:,} leads that we hold"
        said = (
            f"the CRM no longer has {self.absent:,} of the {self.held:,} leads that we hold ({self._orgs()}), the first"
            f" since {self.first.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        )
        if not self.is_too_many:
            return f"{said}; a lead is erased from our tables after {self.absent_days:g} days"
        return (
            f"{said}; at most {self.most_at_once:,} may be erased at once, and none is when more are due. Check that"
            f" the CRM's table dossier is complete{self._own_sql()}; if these leads are gone, raise"
            " MAX_ORGS_REMOVED_SHARE, or erase an org by `python -m leadscore_assets.commands.erase --org …`"
        )

    def _orgs(self) -> str:
        most = sorted(self.by_org.items(), key=lambda item: -item[1])
        more = f" and {len(most) - SHOWN_ORGS:,} orgs more" if len(most) > SHOWN_ORGS else ""
        return ", ".join(f"{org_id}: {count:,}" for org_id, count in most[:SHOWN_ORGS]) + more

    def _own_sql(self) -> str:
        return ", and that its column id has the lead ids that RECORDS_SQL returns" if self.has_own_sql else ""


def create_table(connection: Connection) -> None:
    """Create the table of absent ids where it is absent; the schema must exist."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        connection.execute(TABLE)


def absent_leads(settings: Settings, now: datetime) -> AbsentLeads:
    """Return which leads that we hold the CRM no longer has; nothing is remembered or erased.

    Raises SourceMismatch, also when a policy hides rows of the CRM, DatabaseUnavailable.
    """
    with connect(settings, read_only=True) as connection, connection.transaction():
        return _survey(connection, settings, now, sql.SQL(""))


def erase_absent_leads(settings: Settings, now: datetime) -> tuple[AbsentLeads, list[Erased]]:
    """Remember which leads and orgs are absent, erase those that are due unless they are too many, and return both.

    Raises SourceMismatch, also when a policy hides rows of the CRM, DatabaseUnavailable; then nothing has changed.
    """
    with connect(settings) as connection, erasing(connection):
        absent = _survey(connection, settings, now, sql.SQL(REMEMBER))
        erased = [] if absent.is_withheld else erase_absent(connection, _absent_until(settings, now))
    return absent, [table for table in erased if table.rows]


def leads_in_crm(connection: Connection, org_id: str, lead_ids: Sequence[str]) -> int:
    """Return how many of these leads of the org, or of all its leads, the CRM has.

    Raises SourceMismatch, DatabaseUnavailable.
    """
    with explaining("looking for the leads in the CRM", REMEDY), connection.transaction():
        rows = connection.execute(IN_CRM, {"org_id": org_id, "lead_ids": list(lead_ids)}).fetchall()
    return int(str(rows[0][0]))


def _absent_until(settings: Settings, now: datetime) -> datetime:
    return now - timedelta(days=settings.org_absent_days)


def _survey(connection: Connection, settings: Settings, now: datetime, remember: sql.SQL) -> AbsentLeads:
    statement = sql.SQL("{}{}{}").format(sql.SQL(ABSENT).format(held=_held()), remember, sql.SQL(COUNT))
    parameters = {"now": now, "absent_until": _absent_until(settings, now)}
    with explaining("looking for leads that the CRM no longer has", REMEDY):
        # tables without statistics are taken for tiny, and then every row would be compared with every other
        connection.execute("SET LOCAL enable_nestloop = off; SET LOCAL jit = off; SET LOCAL work_mem = '64MB'")
        rows: list[Any] = connection.execute(statement, parameters).fetchall()
    held = sum(row[1] for row in rows)
    return AbsentLeads(
        held=held,
        by_org={org_id: absent for org_id, _, absent, _, _ in rows if absent},
        due=sum(row[3] for row in rows),
        first=min((row[4] for row in rows if row[2]), default=None),
        most_at_once=max(1, int(settings.max_orgs_removed_share * held)),
        absent_days=settings.org_absent_days,
        has_own_sql=settings.records_sql is not None,
    )


def _held() -> sql.Composed:
    """Return the query of all ids that we hold, each once: those of leads, and those of orgs with an empty lead_id.

    `is_from_crm` is false for a lead of which callers alone have told us.
    """
    leads = [
        _ids(held, sql.Identifier(held.table, "lead_id"), is_from_crm=not held.has_ids_of_callers) for held in OF_LEADS
    ]
    # an org that is remembered without a lead has been erased already
    has_lead = {True: sql.SQL(" AND lead_id <> ''"), False: sql.SQL("")}
    is_an_org = sql.SQL(" WHERE org_id <> {}").format(POOLED)
    orgs = [_ids(held, sql.Literal("")) + is_an_org + has_lead[held.has_leads] for held in OF_ORGS]
    each = sql.SQL(" UNION ALL ").join([*leads, *orgs])
    return sql.SQL(
        "SELECT org_id, lead_id, bool_or(is_from_crm) AS is_from_crm FROM ({}) AS each GROUP BY org_id, lead_id"
    ).format(each)


def _ids(held: Held, lead_id: sql.Composable, *, is_from_crm: bool = True) -> sql.Composed:
    return sql.SQL("SELECT DISTINCT {} AS org_id, {} AS lead_id, {} AS is_from_crm FROM {}").format(
        held.owner, lead_id, is_from_crm, held.name
    )
