"""Reads the records of all orgs, from which the pooled model learns. Each org is read as for its own model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from leadscore.errors import SourceMismatch
from leadscore.features import CONTRACT, Contract
from leadscore.records import RecordCounts, Window
from leadscore.settings import Settings
from leadscore_assets.dataset import KEY_TYPES, ORG_COLUMN, ConversionRecords
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import RecordsReader, records_sql
from leadscore_assets.source.returned_columns import SQL_REMEDY

ORGS_BETWEEN_LOG_LINES = 100

_log = logging.getLogger(__name__)


def extract_pooled(
    settings: Settings,
    org_ids: Iterable[str],
    window: Window,
    contract: Contract = CONTRACT,
    log: logging.Logger = _log,
) -> ConversionRecords:
    """Return the records of all `org_ids`, by day of creation; the column ORG_COLUMN says whose a lead is.

    A lead keeps its id, and so its side of the split. An org with invalid rows is left out, counted, and named in the
    log. Raises SourceMismatch when the SQL fits no org or orgs share lead ids, DatabaseUnavailable.
    """
    with connect(settings, read_only=True) as connection:
        reader = RecordsReader(connection, records_sql(settings), window, contract)
        reader.check()
        parts, unreadable = _read_all(reader, org_ids, log)
    rows = pd.concat([part.rows for part in parts], ignore_index=True) if parts else _no_rows(contract)
    _refuse_shared_ids(rows)
    in_order = rows.sort_values("created_on", kind="stable", ignore_index=True)
    return ConversionRecords(in_order, _counts(parts, unreadable, reader.sql_sha256), window)


def _read_all(
    reader: RecordsReader, org_ids: Iterable[str], log: logging.Logger
) -> tuple[list[ConversionRecords], int]:
    """Return the records of each org, and how many orgs could not be read."""
    parts, unreadable = list[ConversionRecords](), 0
    for done, org_id in enumerate(org_ids, start=1):
        try:
            records = reader.read(org_id)
        except SourceMismatch as error:
            log.warning("left out org %s: %s", org_id, error.message)
            unreadable += 1
            continue
        whose = pd.Series(org_id, index=records.rows.index, dtype=KEY_TYPES[ORG_COLUMN])
        parts.append(replace(records, rows=records.rows.assign(**{ORG_COLUMN: whose})))
        if done % ORGS_BETWEEN_LOG_LINES == 0:
            log.info("read %d orgs with %d records so far", done, sum(part.counts.records for part in parts))
    return parts, unreadable


def _no_rows(contract: Contract) -> pd.DataFrame:
    names = [*ConversionRecords.KEYS, *contract.names, ORG_COLUMN]
    return pd.DataFrame({name: pd.Series(dtype=KEY_TYPES.get(name, "float64")) for name in names})


def _refuse_shared_ids(rows: pd.DataFrame) -> None:
    """Raise SourceMismatch when two orgs share a lead id, because their rows would be taken for those of one lead."""
    leads = rows[["lead_id", ORG_COLUMN]].drop_duplicates()
    shared = int(leads["lead_id"].duplicated().sum())
    if shared:
        raise SourceMismatch(
            f"{shared} lead ids occur in more than one org, so the orgs cannot be pooled. Make the ids unique, for"
            f" example by putting the org's id before each. {SQL_REMEDY}"
        )


def _counts(parts: list[ConversionRecords], unreadable: int, sql_sha256: str) -> RecordCounts:
    excluded = sum((Counter(part.counts.excluded) for part in parts), Counter[str]())
    return RecordCounts(
        records=sum(part.counts.records for part in parts),
        converted_records=sum(part.counts.converted_records for part in parts),
        rows=sum(part.counts.rows for part in parts),
        excluded=dict(sorted(excluded.items())),
        sql_sha256=sql_sha256,
        unreadable_orgs=unreadable,
    )
