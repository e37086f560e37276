"""Reads one org's records from the CRM: checks the records' SQL, runs it once, and returns a table.

`conversion_records.sql` defines what a record is. The feature contract is checked later.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from leadscore.errors import SourceMismatch
from leadscore.features import CONTRACT, Contract
from leadscore.records import RecordCounts, Window, outcome_parameters
from leadscore.settings import Settings
from leadscore_assets.dataset import ConversionRecords, count_leads
from leadscore_assets.source.crm_columns import COLUMNS, check_columns, check_time_zone
from leadscore_assets.source.database import Connection, connect, explaining
from leadscore_assets.source.outcomes import functions_sql
from leadscore_assets.source.returned_columns import KEY_COLUMNS, SQL_REMEDY, cast_query

RECORDS_SQL = Path(__file__).with_name("conversion_records.sql")

# An org that was loaded a moment ago has no statistics yet. Planned as if it were tiny, the joins would compare every
# row with every other: minutes in place of a second. Hash and merge joins grow with the rows, whatever was believed.
PLANNER = {"enable_nestloop": "off", "jit": "off", "work_mem": "'64MB'"}

MOST_UNKNOWN_STATUSES = 20
UNKNOWN_STATUSES = f"""
SELECT to_status::text, count(*)
FROM dossier_status_history
WHERE org_id = %(org_id)s AND to_status::text <> ALL (%(known_statuses)s)
    AND leadscore.crm_moment(transitioned_at, %(crm_time_zone)s) <= %(as_of)s
    AND leadscore.crm_moment(transitioned_at, %(crm_time_zone)s)
        > %(as_of)s - %(training_window_days)s * interval '1 day'
GROUP BY to_status::text ORDER BY count(*) DESC, to_status::text LIMIT {MOST_UNKNOWN_STATUSES}
"""  # noqa: S608 (a constant)


@dataclass(frozen=True)
class RecordsReader:
    """Reads records in `window` over one connection, by the SQL of `path`, an org at a time."""

    connection: Connection
    path: Path
    window: Window
    contract: Contract = CONTRACT

    def check(self) -> None:
        """Raise SourceMismatch when the SQL cannot be read, or does not return the contract's columns.

        Also raises InvalidSettings for a time zone that PostgreSQL does not know.
        """
        if self._follows_our_rule:
            check_time_zone(self.connection, self.window.crm_time_zone)
            check_columns(self.connection, tuple(COLUMNS))
        with self._reading():
            self._statement  # noqa: B018 (making it checks it; it is kept for every org)

    def read(self, org_id: str) -> ConversionRecords:
        """Return the org's records, as one consistent moment of the database shows them.

        Raises SourceMismatch when the SQL returns invalid rows, DatabaseUnavailable.
        """
        parameters = self._parameters(org_id)
        with self._reading(), consistent_reading(self.connection):
            table = _read_table(self.connection, self._statement, parameters, self.contract)
            unknown = self.connection.execute(UNKNOWN_STATUSES, parameters) if self._follows_our_rule else ()
            unknown_statuses = {str(status): int(str(moves)) for status, moves in unknown}
        return _records(table, self, unknown_statuses)

    @property
    def sql_sha256(self) -> str:
        """The SHA-256 of the SQL file and of our functions, which it may call."""
        return self._sql[1]

    @cached_property
    def _follows_our_rule(self) -> bool:
        return follows_our_rule(self.path)

    @cached_property
    def _statement(self) -> str:
        """The SQL with its columns cast to their types. It is described without an org: no id suits every type."""
        with self.connection.transaction():
            parameters = self._parameters(None)
            return cast_query(self.connection, self._sql[0], parameters, self.contract, self.path)

    @cached_property
    def _sql(self) -> tuple[str, str]:
        return _read_sql(self.path)

    def _parameters(self, org_id: str | None) -> dict[str, Any]:
        statuses = (self.window.conversion_statuses, self.window.lost_statuses, self.window.open_statuses)
        known_statuses = [status for group in statuses for status in group]
        return outcome_parameters(self.window) | {"org_id": org_id, "known_statuses": known_statuses}

    def _reading(self) -> AbstractContextManager[None]:
        return explaining(f"reading the records by {self.path.name}", SQL_REMEDY)


@contextmanager
def consistent_reading(connection: Connection) -> Iterator[None]:
    """Let queries see one moment of the database, planned for tables without statistics."""
    with connection.transaction():
        batch = ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"]
        batch += [f"SET LOCAL {name} = {value}" for name, value in PLANNER.items()]
        connection.execute("; ".join(batch))
        yield


def extract(settings: Settings, org_id: str, window: Window, contract: Contract = CONTRACT) -> ConversionRecords:
    """Return the records of `org_id` in `window`, as one consistent moment of the database shows them.

    Raises SourceMismatch when the SQL or what it returns does not fit the contract, DatabaseUnavailable.
    """
    with connect(settings, read_only=True) as connection:
        reader = RecordsReader(connection, records_sql(settings), window, contract)
        reader.check()
        return reader.read(org_id)


def records_sql(settings: Settings) -> Path:
    """Return the file of the SQL that reads the records."""
    return settings.records_sql or RECORDS_SQL


def follows_our_rule(path: Path) -> bool:
    """Return whether the SQL reads the CRM's own tables by our rule: our file does, and copies of it."""
    return "leadscore.lead_outcomes" in _read_sql(path)[0]


def check_sql(settings: Settings) -> None:
    """Raise SourceMismatch when the records' SQL cannot be read, so that a start can refuse RECORDS_SQL."""
    _read_sql(records_sql(settings))


def _read_sql(path: Path) -> tuple[str, str]:
    """Return the query in the file, without its closing semicolon, and the SHA-256 of the file and our functions."""
    try:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content + functions_sql()).hexdigest()
        return content.decode().rstrip().rstrip(";"), sha256
    except (OSError, UnicodeDecodeError) as error:
        raise SourceMismatch(
            f"{path} cannot be read as UTF-8 text: {error}. Correct RECORDS_SQL, or unset it."
        ) from error


def _read_table(connection: Connection, query: str, parameters: dict[str, Any], contract: Contract) -> pd.DataFrame:
    """Return everything that the query returns, typed, null where it is null."""
    content = io.BytesIO()
    statement = f"COPY (\n{query}\n) TO STDOUT (FORMAT csv, HEADER)"
    with connection.cursor().copy(statement, parameters) as copy:
        for block in copy:
            content.write(block)
    content.seek(0)
    types = {"lead_id": "str", "excluded_because": "category", "created_on": "str"}
    types |= {"landmark_days": "float64", "converted": "float64"}
    return pd.read_csv(
        content,
        usecols=[*KEY_COLUMNS, *contract.names],
        dtype=types | dict.fromkeys(contract.names, "float64"),
        keep_default_na=False,
        na_values={"lead_id": [""], "excluded_because": [""], "created_on": [""]}
        | {name: ["", "NaN"] for name in [*types, *contract.names][3:]},
    )


def _records(table: pd.DataFrame, reader: RecordsReader, unknown_statuses: dict[str, int]) -> ConversionRecords:
    is_excluded = table["excluded_because"].notna()
    kept = table.loc[~is_excluded, [*ConversionRecords.KEYS, *reader.contract.names]]
    faults = [*_row_faults(kept, reader.window)]
    if faults:
        raise SourceMismatch(f"{reader.path.name} returns invalid rows: {'; '.join(faults)}. {SQL_REMEDY}")
    rows = kept.astype({"landmark_days": "int64", "converted": "int64"}).reset_index(drop=True)
    leads, converted_leads = count_leads(rows)
    reasons = Counter(table.loc[is_excluded, "excluded_because"])
    counts = RecordCounts(
        records=leads,
        converted_records=converted_leads,
        rows=len(rows),
        excluded=dict(sorted(reasons.items())),
        sql_sha256=reader.sql_sha256,
        unknown_statuses=unknown_statuses,
    )
    return ConversionRecords(rows, counts, reader.window)


def _row_faults(kept: pd.DataFrame, window: Window) -> Iterator[str]:
    """Yield the faults of the columns that the feature contract does not check: the row's keys and its label."""
    checks = {
        "have no lead_id": kept["lead_id"].isna(),
        "have no created_on": kept["created_on"].isna(),
        "have a landmark_days that is not in LANDMARK_DAYS": ~kept["landmark_days"].isin(window.landmark_days),
        "have a converted that is neither 0 nor 1": ~kept["converted"].isin((0, 1)),
        "repeat the lead_id and landmark_days of another row": kept.duplicated(["lead_id", "landmark_days"]),
        "belong to a lead whose converted differs between rows": kept.groupby("lead_id")["converted"].transform(
            "nunique"
        )
        > 1,
    }
    for what, is_faulty in checks.items():
        if is_faulty.any():
            yield f"{int(is_faulty.sum())} of {len(kept)} rows {what}"
