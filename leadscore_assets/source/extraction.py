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
import psycopg

from leadscore.errors import SourceMismatch
from leadscore.features import CONTRACT, Contract
from leadscore.records import RecordCounts, Window, crm_time
from leadscore.settings import Settings
from leadscore_assets.dataset import ConversionRecords, count_leads
from leadscore_assets.source.database import Connection, connect, explaining

RECORDS_SQL = Path(__file__).with_name("conversion_records.sql")
SQL_REMEDY = "Correct the SQL file, or unset RECORDS_SQL to use Leadscore's own."

# An org that was loaded a moment ago has no statistics yet. Planned as if it were tiny, the joins would compare every
# row with every other: minutes in place of a second. Hash and merge joins grow with the rows, whatever was believed.
PLANNER = {"enable_nestloop": "off", "jit": "off", "work_mem": "'64MB'"}

TEXT = ("text", "character varying")
WHOLE = ("smallint", "integer", "bigint")
NUMBER = ("double precision", "real", "numeric", *WHOLE)
KEY_COLUMNS = {
    "lead_id": TEXT,
    "excluded_because": TEXT,
    "created_on": ("date",),
    "landmark_days": WHOLE,
    "converted": WHOLE,
}


@dataclass(frozen=True)
class RecordsReader:
    """Reads records in `window` over one connection, by the SQL of `path`, an org at a time."""

    connection: Connection
    path: Path
    window: Window
    contract: Contract = CONTRACT

    def check(self) -> None:
        """Raise SourceMismatch when the SQL cannot be read, or does not return the contract's columns."""
        with self._reading(), self.connection.transaction():
            _check_columns(_columns(self.connection, self._query, self._parameters("")), self.contract, self.path)

    def read(self, org_id: str) -> ConversionRecords:
        """Return the org's records, as one consistent moment of the database shows them.

        Raises SourceMismatch when the SQL returns invalid rows, DatabaseUnavailable.
        """
        with self._reading(), consistent_reading(self.connection):
            table = _read_table(self.connection, self._query, self._parameters(org_id), self.contract)
        return _records(table, self.window, self.contract, self.path, self.sql_sha256)

    @property
    def sql_sha256(self) -> str:
        """The SHA-256 of the SQL file."""
        return self._sql[1]

    @property
    def _query(self) -> str:
        return self._sql[0]

    @cached_property
    def _sql(self) -> tuple[str, str]:
        return _read_sql(self.path)

    def _parameters(self, org_id: str) -> dict[str, Any]:
        return query_parameters(self.window) | {"org_id": org_id}

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


def check_sql(settings: Settings) -> None:
    """Raise SourceMismatch when the records' SQL cannot be read, so that a start can refuse RECORDS_SQL."""
    _read_sql(records_sql(settings))


def query_parameters(window: Window) -> dict[str, Any]:
    """Return the parameters of the SQL files that a window gives."""
    return {
        "as_of": crm_time(window.as_of),
        "training_window_days": window.training_window_days,
        "conversion_window_days": window.conversion_window_days,
        "conversion_statuses": list(window.conversion_statuses),
        "landmark_days": list(window.landmark_days),
    }


def _read_sql(path: Path) -> tuple[str, str]:
    """Return the query in the file, without its closing semicolon, and the SHA-256 of the file."""
    try:
        content = path.read_bytes()
        return content.decode().rstrip().rstrip(";"), hashlib.sha256(content).hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceMismatch(
            f"{path} cannot be read as UTF-8 text: {error}. Correct RECORDS_SQL, or unset it."
        ) from error


def _columns(connection: Connection, query: str, parameters: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the name and the type of each column that the query returns, without running it."""
    cursor = connection.execute(f"SELECT * FROM (\n{query}\n) AS records LIMIT 0", parameters)  # noqa: S608  # the query is a file that the operator chose
    columns = cursor.description or []
    known_types = psycopg.adapters.types
    return [
        (column.name, known.regtype if (known := known_types.get(column.type_code)) else column.type_display)
        for column in columns
    ]


def _check_columns(columns: list[tuple[str, str]], contract: Contract, path: Path) -> None:
    """Raise SourceMismatch that names every column that is missing, given twice or of a wrong type."""
    expected = KEY_COLUMNS | dict.fromkeys(contract.names, NUMBER)
    types, times = dict(columns), Counter(name for name, _ in columns)
    faults = [f"{name} is missing (expected {kinds[0]})" for name, kinds in expected.items() if name not in types]
    faults += [
        f"{name} is {types[name]} (expected {kinds[0]})"
        for name, kinds in expected.items()
        if name in types and types[name] not in kinds
    ]
    faults += [f"{name} is returned {times[name]} times" for name in expected if times[name] > 1]
    if faults:
        raise SourceMismatch(f"{path.name} does not return the expected columns: {'; '.join(faults)}. {SQL_REMEDY}")


def _read_table(connection: Connection, query: str, parameters: dict[str, Any], contract: Contract) -> pd.DataFrame:
    """Return everything that the query returns, typed, null where it is null."""
    content = io.BytesIO()
    statement = f"COPY (\n{query}\n) TO STDOUT (FORMAT csv, HEADER)"
    with connection.cursor().copy(statement, parameters) as copy:
        for block in copy:
            content.write(block)
    content.seek(0)
    types = {"lead_id": "str", "excluded_because": "category", "created_on": "str"}
    types |= {"landmark_days": "Int64", "converted": "Int64"}
    return pd.read_csv(
        content,
        usecols=[*KEY_COLUMNS, *contract.names],
        dtype=types | dict.fromkeys(contract.names, "float64"),
        keep_default_na=False,
        na_values={"lead_id": [""], "excluded_because": [""], "created_on": [""]}
        | {name: ["", "NaN"] for name in [*types, *contract.names][3:]},
    )


def _records(table: pd.DataFrame, window: Window, contract: Contract, path: Path, sql_sha256: str) -> ConversionRecords:
    is_excluded = table["excluded_because"].notna()
    kept = table.loc[~is_excluded, [*ConversionRecords.KEYS, *contract.names]]
    faults = [*_row_faults(kept, window)]
    if faults:
        raise SourceMismatch(f"{path.name} returns invalid rows: {'; '.join(faults)}. {SQL_REMEDY}")
    rows = kept.astype({"landmark_days": "int64", "converted": "int64"}).reset_index(drop=True)
    leads, converted_leads = count_leads(rows)
    reasons = Counter(table.loc[is_excluded, "excluded_because"])
    counts = RecordCounts(
        records=leads,
        converted_records=converted_leads,
        rows=len(rows),
        excluded=dict(sorted(reasons.items())),
        sql_sha256=sql_sha256,
    )
    return ConversionRecords(rows, counts, window)


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
