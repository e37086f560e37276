"""Reads which leads of an org are open, and the features of leads at any moment, by our functions in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg import sql

from leadscore.arrays import Floats
from leadscore.errors import SourceMismatch
from leadscore.features import Contract
from leadscore.records import Window, outcome_parameters
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.outcomes import FEATURES_AT, REMEDY

OPEN_LEADS = """
SELECT lead_id, created_at, left_out_because
FROM leadscore.open_leads(
    %(org_id)s, %(as_of)s, %(conversion_window_days)s, %(conversion_statuses)s, %(lost_statuses)s,
    %(conversion_is_final)s, %(crm_time_zone)s
)
ORDER BY created_at, lead_id
"""
# every value as a number of eight bytes, so that every row has the same length
FEATURES = """
COPY (
    SELECT pair.nth::double precision, {features}
    FROM unnest(%(lead_ids)s::text[], %(moments)s::timestamp[]) WITH ORDINALITY AS pair (lead_id, moment, nth)
    JOIN leadscore.features_at(
        %(org_id)s, %(lead_ids)s::text[], %(moments)s::timestamp[], %(crm_time_zone)s
    ) AS feature USING (lead_id, moment)
) TO STDOUT (FORMAT binary)
"""
HEADER_BYTES, TRAILER_BYTES = 19, 2
RETURNED = """
SELECT name FROM pg_proc, unnest(proargnames, proargmodes::text[]) AS argument (name, mode)
WHERE pg_proc.oid = to_regprocedure(%s) AND mode = 't'
"""
FEATURES_REMEDY = (
    "`leadscore_assets/source/features_at.sql` must return every feature of the model's contract, from columns that the"
    " CRM's tables have. Then run `python -m leadscore_assets.commands.set_up_database`, which creates our functions."
)


@dataclass(frozen=True)
class OpenLeads:
    """The leads of an org that can be scored, the oldest first, and how many open ones cannot, by reason.

    `created_at` holds UTC moments without a zone, one per lead id.
    """

    lead_ids: list[str]
    created_at: list[datetime]
    left_out: Mapping[str, int]


def open_leads(connection: Connection, org_id: str, window: Window) -> OpenLeads:
    """Return the org's leads that were open at the window's `as_of`, however old; the training window plays no part.

    Raises SourceMismatch before the set-up or without the CRM's tables, DatabaseUnavailable.
    """
    parameters = outcome_parameters(window) | {"org_id": org_id}
    with explaining("listing the open leads", REMEDY), connection.transaction():
        rows = connection.execute(OPEN_LEADS, parameters).fetchall()
    scored = [(str(lead_id), created_at) for lead_id, created_at, why in rows if why is None]
    return OpenLeads(
        lead_ids=[lead_id for lead_id, _ in scored],
        created_at=[created_at for _, created_at in scored if isinstance(created_at, datetime)],
        left_out=Counter(str(why) for _, _, why in rows if why is not None),
    )


def features_at(
    connection: Connection,
    org_id: str,
    lead_ids: Sequence[str],
    moments: Sequence[datetime],
    contract: Contract,
    *,
    crm_time_zone: str,
) -> Floats:
    """Return the features of each lead at the moment beside it (UTC, without a zone), shape (pairs, features).

    NaN stands for unknown; the row of a lead that is not in the org, or was created after the moment, is all NaN.
    Values are not checked against the contract. Raises SourceMismatch for a contract with a feature that the database's
    function does not return, before the set-up, or without the CRM's tables; DatabaseUnavailable.
    """
    if len(lead_ids) != len(moments):
        raise ValueError(f"{len(lead_ids)} lead ids have {len(moments)} moments; give one moment for each lead id")
    features = np.full((len(lead_ids), len(contract.names)), np.nan)
    parameters = {
        "org_id": org_id,
        "lead_ids": _array(lead_ids),
        "moments": _array([moment.isoformat() for moment in moments]),
        "crm_time_zone": crm_time_zone,
    }
    with explaining("reading the features of leads", FEATURES_REMEDY), connection.transaction():
        _check_names(connection, contract)
        nth, found = _copied(connection, _query(contract), parameters, 1 + len(contract.names))
    features[nth - 1] = found
    return features


def _array(texts: Sequence[str]) -> str:
    """Return the texts as PostgreSQL writes an array: of a list of 2,200, psycopg makes one in 25 ms more."""
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in escaped) + "}"


def _query(contract: Contract) -> str:
    features = (f"coalesce(feature.{sql.Identifier(name).as_string()}, 'NaN')" for name in contract.names)
    return FEATURES.format(features=", ".join(features))


def _copied(
    connection: Connection, query: str, parameters: Mapping[str, object], columns: int
) -> tuple[np.ndarray, Floats]:
    """Return the places, counted from 1, and the values of the rows that a COPY in the binary format returns."""
    with connection.cursor().copy(query.encode(), parameters) as copy:
        content = b"".join(copy)
    row = np.dtype([("columns", ">i2"), ("values", [("bytes", ">i4"), ("value", ">f8")], (columns,))])
    rows = np.frombuffer(content[HEADER_BYTES : len(content) - TRAILER_BYTES], row)
    values = rows["values"]["value"].astype(np.float64)
    return values[:, 0].astype(np.int64), values[:, 1:]


def _check_names(connection: Connection, contract: Contract) -> None:
    """Raise SourceMismatch when the function, which is there, does not return every feature of the contract."""
    returned = {name for (name,) in connection.execute(RETURNED, [FEATURES_AT])}
    missing = [name for name in contract.names if name not in returned]
    if returned and missing:
        raise SourceMismatch(
            f"leadscore.features_at does not return {', '.join(missing)}, which the model's contract has."
            f" {FEATURES_REMEDY}"
        )
