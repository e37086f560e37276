"""Erases leads and orgs from our tables: those that were absent for long enough, or those that someone names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from psycopg import sql

from leadscore_assets.retention.held_ids import ABSENT_IDS, HELD, OF_LEADS, OF_ORGS, Held
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.org_locks import lock_erasures, lock_scores
from leadscore_assets.source.tables import REMEDY

# the order in which a training's step and a scoring take the tables, too, so that neither waits for the other forever
LOCK_TABLES = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(
    sql.SQL(", ").join(held.name for held in (*OF_LEADS, *OF_ORGS))
)

DUE_ORGS = "SELECT DISTINCT org_id FROM leadscore.absent_ids WHERE absent_since <= %s"
# leads by which an org was known until its id was given to others: that is still noticed without them
FORGET_KNOWN = """
WITH gone AS (
    DELETE FROM leadscore.org_identities AS known
    WHERE known.lead_id <> '' AND known.remembered_at <= %s AND NOT EXISTS (
        SELECT FROM dossier WHERE dossier.org_id::text = known.org_id AND dossier.id::text = known.lead_id
    )
    RETURNING known.org_id
)
INSERT INTO leadscore.org_identities (org_id, lead_id, created_at) SELECT DISTINCT org_id, '', '-infinity'::timestamptz
FROM gone ON CONFLICT DO NOTHING
"""
REMEMBER_GONE = """
INSERT INTO leadscore.org_identities (org_id, lead_id, created_at)
SELECT org_id, '', '-infinity' FROM leadscore.absent_ids WHERE lead_id = '' AND absent_since <= %s
ON CONFLICT DO NOTHING
"""


class Erased(NamedTuple):
    """What was erased from one table: rows, and the leads that they were of; None in a table without leads."""

    table: str
    rows: int
    leads: int | None

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        if not self.leads:
            return f"{rows} from {self.table}"
        return f"{rows} of {'1 lead' if self.leads == 1 else f'{self.leads:,} leads'} from {self.table}"


@contextmanager
def erasing(connection: Connection) -> Iterator[None]:
    """Let one erasure at a time run, in a transaction. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining("erasing leads", REMEDY), connection.transaction():
        lock_erasures(connection)
        yield


def erase_at_once(connection: Connection, org_id: str, lead_ids: Sequence[str] = ()) -> list[Erased]:
    """Erase the org's leads of these ids or, without any, the whole org; return what went from which table.

    The rows of its leads that the pooled model learned from go, too. Raises SourceMismatch before the set-up,
    DatabaseUnavailable.
    """
    with erasing(connection):
        lock_scores(connection, [org_id])
        connection.execute(LOCK_TABLES)
        return [_erase_named(connection, held, org_id, lead_ids) for held in HELD if held.has_leads or not lead_ids]


def erase_absent(connection: Connection, absent_until: datetime) -> list[Erased]:
    """Erase the ids that are in `absent_ids` since `absent_until` or longer; the caller is in `erasing`."""
    lock_scores(connection, [str(org_id) for (org_id,) in connection.execute(DUE_ORGS, [absent_until])])
    connection.execute(LOCK_TABLES)
    erased = [_erase_absent_from(connection, held, absent_until, by_lead=True) for held in OF_LEADS]
    erased += [_erase_absent_from(connection, held, absent_until, by_lead=False) for held in OF_ORGS]
    # so that whoever gets the org's id next is not taken for the same customer
    connection.execute(REMEMBER_GONE, [absent_until])
    connection.execute(FORGET_KNOWN, [absent_until])
    statement = sql.SQL("DELETE FROM {} WHERE absent_since <= %s").format(ABSENT_IDS.name)
    connection.execute(statement, [absent_until])
    return erased


def _erase_named(connection: Connection, held: Held, org_id: str, lead_ids: Sequence[str]) -> Erased:
    whose = sql.SQL("%(org_id)s IN ({})").format(sql.SQL(", ").join(map(sql.Identifier, held.org_columns)))
    which = sql.SQL(" AND lead_id = ANY (%(lead_ids)s)") if lead_ids else sql.SQL("")
    condition = sql.SQL("DELETE FROM {} WHERE {}{}").format(held.name, whose, which)
    return _erased(connection, held, condition, {"org_id": org_id, "lead_ids": list(lead_ids)})


def _erase_absent_from(connection: Connection, held: Held, absent_until: datetime, *, by_lead: bool) -> Erased:
    lead_id = sql.Identifier(held.table, "lead_id") if by_lead else sql.Literal("")
    statement = sql.SQL(
        "DELETE FROM {} USING leadscore.absent_ids AS absent"
        " WHERE absent.org_id = {} AND absent.lead_id = {} AND absent.absent_since <= %(absent_until)s"
    ).format(held.name, held.owner, lead_id)
    return _erased(connection, held, statement, {"absent_until": absent_until})


def _erased(connection: Connection, held: Held, delete: sql.Composed, parameters: dict[str, object]) -> Erased:
    """Run a DELETE, and count what went."""
    lead_id = sql.SQL("nullif({}, '')").format(sql.Identifier(held.table, "lead_id")) if held.has_leads else sql.NULL
    counted = sql.SQL(
        "WITH erased AS ({} RETURNING {} AS lead_id) SELECT count(*), count(DISTINCT lead_id) FROM erased"
    )
    ((rows, leads),) = connection.execute(counted.format(delete, lead_id), parameters).fetchall()
    return Erased(held.table, int(str(rows)), int(str(leads)) if held.has_leads else None)
