"""Simulates a realistic CRM from a seed, and writes its tables into a database or a folder.

The same orgs, seed and end give the same bytes. No row holds a name, an address or a text of a person.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from leadscore.arrays import Ints
from leadscore.errors import InvalidInput
from leadscore.records import crm_time
from standalone import crm
from standalone.events import Appointments, Messages, Moves, draw_appointments, draw_messages, draw_moves
from standalone.journeys import SOURCE_SCORES, Leads, Listings, draw_leads, draw_listings, later
from standalone.orgs import Org

CHUNK_ROWS = 50_000
SCORED_SHARE = 0.95  # the others have no row in lead_score
HIGHEST_RENT = 10_000
RESPONSE_SCORES = ((1 / 24, 20), (4 / 24, 10))  # days within which a first answer earns how much, in the CRM

# A table's columns, each an array with an item per row, or one value for all rows.
Columns = Mapping[str, Any]
Tables = Mapping[str, Columns]


@dataclass
class NextIds:
    """The next free id of each table."""

    ids: dict[str, int]

    def take(self, table: str, count: int) -> Ints:
        """Return the next `count` ids of `table`."""
        first = self.ids.get(table, 1)
        self.ids[table] = first + count
        return np.arange(first, first + count)


def simulate(orgs: Sequence[Org], *, seed: int, now: datetime) -> Iterator[Tables]:
    """Yield the CRM's tables for each org in turn, as they are at `now` (UTC). Ids are unique over all orgs."""
    moment = np.datetime64(crm_time(now), "s")
    next_ids = NextIds({})
    for number, org in enumerate(orgs):
        yield _simulate_org(np.random.default_rng([seed, number]), org, moment, next_ids)


def into_database(connection: psycopg.Connection, tables_of_orgs: Iterable[Tables]) -> dict[str, int]:
    """Load the simulated tables into an empty CRM, all or nothing; return the number of rows of each table.

    Raises InvalidInput when there are rows already, because their ids could equal simulated ids.
    """
    crm.create_tables(connection)
    if filled := crm.tables_with_rows(connection):
        raise InvalidInput(
            f"The tables {', '.join(filled)} hold rows already. Simulate into an empty database (set DB_NAME)."
        )
    rows = dict.fromkeys(crm.TABLES, 0)
    with connection.transaction():
        for tables in tables_of_orgs:
            for table in crm.TABLES:
                rows[table] += crm.copy_rows(connection, table, tables[table], csv_chunks(tables[table]))
        crm.finish_loading(connection)
    return rows


def into_folder(folder: Path, tables_of_orgs: Iterable[Tables]) -> dict[str, int]:
    """Write the simulated tables as the files that `crm_load.load_folder` reads; return the rows of each table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = dict.fromkeys(crm.TABLES, 0)
    with ExitStack() as stack:
        files = {table: stack.enter_context(_zipped(folder / f"{table}.csv.gz")) for table in crm.TABLES}
        for tables in tables_of_orgs:
            for table, file in files.items():
                if rows[table] == 0:
                    file.write((",".join(tables[table]) + "\n").encode())
                for chunk in csv_chunks(tables[table]):
                    file.write(chunk)
                rows[table] += len(tables[table]["id"])
    return rows


def csv_chunks(columns: Columns) -> Iterator[bytes]:
    """Yield the rows as CSV text, some ten thousand at a time. Values need no quotes, or bring them along."""
    count = len(columns["id"])
    template = ",".join("%s" if np.ndim(values) else str(values) for values in columns.values()) + "\n"
    varying = [values for values in columns.values() if np.ndim(values)]
    for start in range(0, count, CHUNK_ROWS):
        texts = (_texts(values[start : start + CHUNK_ROWS]) for values in varying)
        yield "".join(map(template.__mod__, zip(*texts, strict=True))).encode()


def _texts(values: np.ndarray[Any, Any]) -> list[Any]:
    if values.dtype.kind != "M":
        return list(values.tolist())
    return list(np.where(np.isnat(values), "", np.datetime_as_string(values)).tolist())


@contextmanager
def _zipped(path: Path) -> Iterator[gzip.GzipFile]:
    # Without a name and a time in it, the same rows give the same file.
    with path.open("wb") as plain, gzip.GzipFile("", "wb", 5, plain, mtime=0) as zipped:
        yield zipped


def _simulate_org(rng: np.random.Generator, org: Org, now: np.datetime64, next_ids: NextIds) -> Tables:
    listings = draw_listings(rng, org, now)
    leads = draw_leads(rng, org, listings, now)
    moves = draw_moves(leads)
    messages = draw_messages(rng, org, leads)
    appointments = draw_appointments(rng, leads)
    listing_ids = next_ids.take("annonce", len(listings.price))
    lead_ids = next_ids.take("dossier", len(leads))
    tables = {
        "annonce": {"id": listing_ids, **_annonce(org, listings, listing_ids)},
        "dossier": {"id": lead_ids, **_dossier(leads, moves, listing_ids)},
        "dossier_status_history": _status_history(moves, lead_ids),
        "message": _message(messages, lead_ids),
        "appointment": _appointment(appointments, lead_ids),
        "lead_score": _lead_score(rng, leads, messages, appointments, lead_ids),
    }
    return {table: _identified(table, org, columns, next_ids) for table, columns in tables.items()}


def _identified(table: str, org: Org, columns: Columns, next_ids: NextIds) -> Columns:
    if "id" in columns:
        return {**columns, "org_id": org.org_id}
    count = len(columns["dossier_id"])
    return {"id": next_ids.take(table, count), **columns, "org_id": org.org_id}


def _annonce(org: Org, listings: Listings, ids: Ints) -> Columns:
    return {
        "title": np.char.add("Listing ", ids.astype(str)),
        "type": "SALE" if org.median_price > HIGHEST_RENT else "RENT",
        "price": np.where(np.isnan(listings.price), "", listings.price.astype(str)),
        "currency": "EUR",
        "status": "PUBLISHED",
        "photos_json": np.where(listings.has_photos, '"[""front.jpg"", ""kitchen.jpg""]"', "[]"),
        "created_at": listings.created_at,
        "updated_at": listings.created_at,
    }


def _dossier(leads: Leads, moves: Moves, listing_ids: Ints) -> Columns:
    is_last = np.append(moves.lead[1:] != moves.lead[:-1], True)
    return {
        "annonce_id": np.where(leads.listing >= 0, listing_ids[leads.listing].astype(str), ""),
        "lead_source": leads.source,
        "status": moves.to_status[is_last],
        "created_at": leads.created_at,
        "updated_at": moves.transitioned_at[is_last],
    }


def _status_history(moves: Moves, lead_ids: Ints) -> Columns:
    return {
        "dossier_id": lead_ids[moves.lead],
        "from_status": moves.from_status,
        "to_status": moves.to_status,
        "transitioned_at": moves.transitioned_at,
    }


def _message(messages: Messages, lead_ids: Ints) -> Columns:
    return {
        "dossier_id": lead_ids[messages.lead],
        "direction": np.where(messages.is_inbound, "INBOUND", "OUTBOUND"),
        "channel": messages.channel,
        "timestamp": messages.sent_at,
    }


def _appointment(appointments: Appointments, lead_ids: Ints) -> Columns:
    return {
        "dossier_id": lead_ids[appointments.lead],
        "start_time": appointments.start_at,
        "end_time": appointments.start_at + np.timedelta64(45, "m"),
        "status": appointments.status,
        "created_at": appointments.booked_at,
        "updated_at": appointments.updated_at,
    }


def _lead_score(
    rng: np.random.Generator, leads: Leads, messages: Messages, appointments: Appointments, lead_ids: Ints
) -> Columns:
    """Return the scores by the CRM's own rules, as they are now; a few leads have none."""
    source = np.vectorize(SOURCE_SCORES.__getitem__, otypes=[int])(leads.source)
    response = np.select([leads.response_days <= days for days, _ in RESPONSE_SCORES], [s for _, s in RESPONSE_SCORES])
    response *= leads.response_days <= leads.observed_days
    inbound, outbound, booked = (
        np.bincount(lead, minlength=len(leads))
        for lead in (messages.lead[messages.is_inbound], messages.lead[~messages.is_inbound], appointments.lead)
    )
    engagement = np.minimum(5 * np.minimum(inbound, 5) + 2 * np.minimum(outbound, 10) + 15 * booked, 50)
    is_scored = rng.random(len(leads)) < SCORED_SHARE
    columns = {
        "dossier_id": lead_ids,
        "total_score": source + response + engagement,
        "source_score": source,
        "response_time_score": response,
        "engagement_score": engagement,
        "created_at": leads.created_at,
        "updated_at": later(leads.created_at, leads.observed_days),
    }
    return {name: values[is_scored] for name, values in columns.items()}
