"""Knows an org again by two of its leads, the first and the newest: `leadscore.org_identities` remembers them.

An org is the same customer's while one of them is in the CRM with the same id and the same time of creation. Old leads
may be deleted, and older ones imported: what is remembered is renewed daily, and as soon as one of the two is gone. An
org without leads stays remembered: once its leads are erased, by a line without a lead's id. Ids are compared as the
CRM's type has them, and times without a zone are taken as UTC; neither leaves the database, which may hold -infinity.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from leadscore_assets.source.database import Connection, explaining

REMEDY = "Run `python -m leadscore_assets.commands.set_up_database`, then try again."
# the newest lead that is remembered is at most this old, so that a purge of old leads leaves it
RENEWAL_HOURS = 24
# a tick of a CRM with tens of thousands of orgs must end
RENEWED_AT_A_TIME = 1_000

IDENTITIES_TABLE = """
CREATE TABLE IF NOT EXISTS leadscore.org_identities (
    org_id        text NOT NULL,
    lead_id       text NOT NULL,
    created_at    timestamptz NOT NULL,
    remembered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, lead_id)
)
"""
TYPES = """
SELECT attname, format_type(atttypid, -1) FROM pg_attribute
WHERE attrelid = to_regclass('dossier') AND attname IN ('id', 'org_id')
"""
# two look-ups by the key of dossier for each org, however many leads there are
IDENTITIES = """
SELECT
    known.org_id,
    count(*) AS remembered,
    count(lead.id) AS present,
    bool_or(known.remembered_at < now() - {renewal_hours} * interval '1 hour') AS is_old
FROM leadscore.org_identities AS known
LEFT JOIN dossier AS lead
    ON {same_id}
    AND lead.org_id::text = known.org_id
    AND lead.created_at::timestamptz = known.created_at
WHERE {org_ids}::text[] IS NULL OR known.org_id = ANY({org_ids}::text[])
GROUP BY known.org_id
"""
SAME_ID, SAME_TEXT = sql.SQL("lead.id = nullif(known.lead_id, '')::{id_type}"), sql.SQL("lead.id::text = known.lead_id")
FORGET = """
DELETE FROM leadscore.org_identities AS known
WHERE known.org_id = ANY (%s::text[])
    AND EXISTS (SELECT FROM dossier WHERE dossier.org_id::text = known.org_id)
"""
HAS_LEADS = "SELECT EXISTS (SELECT FROM dossier WHERE org_id::text = %s)"
# An org without leads keeps what is remembered of it. Between a look and a renewal an id can get a new customer, so a
# renewal looks again.
REMEMBER = """
WITH lead AS MATERIALIZED (
    SELECT org.org_id::text AS org_id, lead.id::text AS lead_id, lead.created_at::timestamptz AS created_at
    FROM (
        SELECT org_id FROM unnest({org_ids}::text[]) AS org (org_id)
        WHERE NOT {only_known} OR EXISTS (
            SELECT FROM leadscore.org_identities AS known
            JOIN dossier AS lead ON {same_id} AND lead.created_at::timestamptz = known.created_at
            WHERE known.org_id = org.org_id AND lead.org_id::text = known.org_id
        )
    ) AS org
    CROSS JOIN LATERAL (
        (
            SELECT id, created_at FROM dossier
            WHERE dossier.org_id = org.org_id::{org_type} AND leadscore.crm_moment(created_at, 'UTC') IS NOT NULL
            ORDER BY created_at, id
            LIMIT 1
        )
        UNION
        (
            SELECT id, created_at FROM dossier
            WHERE dossier.org_id = org.org_id::{org_type} AND leadscore.crm_moment(created_at, 'UTC') IS NOT NULL
            ORDER BY created_at DESC, id DESC
            LIMIT 1
        )
    ) AS lead
), forgotten AS (
    DELETE FROM leadscore.org_identities AS known
    WHERE known.org_id IN (SELECT org_id FROM lead)
        AND (known.org_id, known.lead_id) NOT IN (SELECT org_id, lead_id FROM lead)
)
INSERT INTO leadscore.org_identities (org_id, lead_id, created_at)
SELECT org_id, lead_id, created_at FROM lead
ON CONFLICT (org_id, lead_id) DO UPDATE SET created_at = excluded.created_at, remembered_at = now()
"""


@dataclass(frozen=True)
class Identity:
    """How many leads of an org are remembered, how many of those the CRM has, and whether they are due for renewal."""

    remembered: int
    present: int
    is_old: bool

    @property
    def is_known_again(self) -> bool:
        """Whether the CRM has a lead that is remembered."""
        return self.present > 0

    @property
    def is_to_be_renewed(self) -> bool:
        """Whether other leads are to be remembered."""
        return self.is_known_again and (self.is_old or self.present < self.remembered)


def identities(connection: Connection, org_ids: Collection[str] | None = None) -> dict[str, Identity]:
    """Return the identities of all orgs, or of `org_ids`, of which leads are remembered.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    with explaining("comparing the orgs' leads with those remembered", REMEDY):
        try:
            rows = _compared(connection, SAME_ID, org_ids)
        except psycopg.DataError:
            # the type of dossier.id has changed since, so that texts alone can be compared
            rows = _compared(connection, SAME_TEXT, org_ids)
    return {org_id: Identity(remembered, present, is_old) for org_id, remembered, present, is_old in rows}


def changed_orgs(known: Mapping[str, Identity], with_leads: Collection[str]) -> list[str]:
    """Return the orgs that have leads, but none of those by which they are known, sorted."""
    return sorted(org_id for org_id in with_leads if org_id in known and not known[org_id].is_known_again)


def is_changed(connection: Connection, org_id: str) -> bool:
    """Return whether the org has leads, but none of those by which it is known. Raises as `identities` does."""
    known = identities(connection, [org_id]).get(org_id)
    if known is None or known.is_known_again:
        return False
    with explaining("looking for the org's leads", REMEDY), connection.transaction():
        return connection.execute(HAS_LEADS, [org_id]).fetchone() == (True,)


def renew(connection: Connection, known: Mapping[str, Identity], with_leads: Collection[str]) -> int:
    """Remember leads of the orgs of which none or too old ones are remembered; return how many orgs that was.

    At most RENEWED_AT_A_TIME at once, new orgs first. Raises as `identities` does.
    """
    new = [org_id for org_id in with_leads if org_id not in known][:RENEWED_AT_A_TIME]
    older = [org_id for org_id in with_leads if org_id in known and known[org_id].is_to_be_renewed]
    older = older[: RENEWED_AT_A_TIME - len(new)]
    with explaining("remembering leads of the orgs", REMEDY):
        if new:
            _remember(connection, new)
        if older:
            _renew(connection, older)
    return len(new) + len(older)


def remember(connection: Connection, org_ids: Sequence[str]) -> None:
    """Remember the first and the newest lead of each org that has leads, and forget what was remembered of it.

    An org all of whose leads have impossible times is then as one of which nothing is known. Raises as `identities`.
    """
    with explaining("remembering leads of the orgs", REMEDY), connection.transaction():
        connection.execute(FORGET, [list(org_ids)])
        _remember(connection, org_ids)


def _remember(
    connection: Connection, org_ids: Sequence[str], same_id: sql.SQL = SAME_TEXT, *, only_known: bool = False
) -> None:
    with connection.transaction():
        types = _types(connection)
        statement = sql.SQL(REMEMBER).format(
            org_ids=sql.Literal(list(org_ids)),
            org_type=sql.SQL(types.get("org_id", "text")),
            only_known=sql.Literal(only_known),
            same_id=same_id.format(id_type=sql.SQL(types.get("id", "text"))),
        )
        connection.execute(statement)


def _renew(connection: Connection, org_ids: Sequence[str]) -> None:
    try:
        _remember(connection, org_ids, SAME_ID, only_known=True)
    except psycopg.DataError:  # as in `identities`
        _remember(connection, org_ids, SAME_TEXT, only_known=True)


def remember_gone(connection: Connection, org_id: str) -> None:
    """Remember, without a lead's id, that the org had a customer: the next one is noticed. Raises as `identities`."""
    with explaining("remembering the org", REMEDY), connection.transaction():
        connection.execute(
            "INSERT INTO leadscore.org_identities (org_id, lead_id, created_at) VALUES (%s, '', '-infinity')"
            " ON CONFLICT DO NOTHING",
            [org_id],
        )


def _compared(connection: Connection, same_id: sql.SQL, org_ids: Collection[str] | None) -> list[Any]:
    with connection.transaction():
        id_type = _types(connection).get("id", "text")
        query = sql.SQL(IDENTITIES).format(
            renewal_hours=sql.Literal(RENEWAL_HOURS),
            same_id=same_id.format(id_type=sql.SQL(id_type)),
            org_ids=sql.Literal(None if org_ids is None else list(org_ids)),
        )
        return connection.execute(query).fetchall()


def _types(connection: Connection) -> dict[str, str]:
    """Return the types of a lead's ids as SQL names them: so written, an index on dossier can be used."""
    rows: list[Any] = connection.execute(TYPES).fetchall()
    return dict(rows)
