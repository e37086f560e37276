"""Our own tables: each asset's last value for each org. The CRM's tables are never written.

`leadscore.materializations` has one line per asset and org: the run, a JSON document, and the columns of the rows. The
rows themselves, of the assets that have any, are in a table of the asset's name. Columns for features are added when
rows with a new feature are stored; rows stored before keep the columns that they had.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
from psycopg import sql
from psycopg.types.json import Jsonb

from leadscore.errors import NotMaterialized, RecordsRemoved
from leadscore.features import CONTRACT
from leadscore_assets.dataset import KEY_TYPES
from leadscore_assets.source.database import TABLES_LOCK, Connection, create_schema, explaining
from leadscore_assets.source.identities import IDENTITIES_TABLE

ASSETS_WITH_ROWS = ("conversion_records", "lead_features")
ROWS_PER_BLOCK = 50_000
REMEDY = "Run `python -m leadscore_assets.commands.set_up_database`, then try again."

MATERIALIZATIONS_TABLE = """
CREATE TABLE IF NOT EXISTS leadscore.materializations (
    asset     text NOT NULL,
    org_id    text NOT NULL,
    run_id    text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    info      jsonb NOT NULL,
    columns   text[],
    PRIMARY KEY (asset, org_id)
)
"""
ROWS_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    org_id        text NOT NULL,
    row_number    bigint NOT NULL,
    lead_id       text NOT NULL,
    landmark_days integer NOT NULL,
    converted     smallint NOT NULL,
    PRIMARY KEY (org_id, row_number)
)
"""
# an earlier release made the tables without these
LATER_COLUMN = "ALTER TABLE leadscore.materializations ADD COLUMN IF NOT EXISTS rows_removed_at timestamptz"
LATER_COLUMNS = """
ALTER TABLE {table}
    ADD COLUMN IF NOT EXISTS created_on date,
    ADD COLUMN IF NOT EXISTS is_held_out smallint,
    ADD COLUMN IF NOT EXISTS crm_org_id text
"""
REMEMBER = """
INSERT INTO leadscore.materializations (asset, org_id, run_id, info, columns) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (asset, org_id) DO UPDATE
SET run_id = excluded.run_id, stored_at = now(), info = excluded.info, columns = excluded.columns,
    rows_removed_at = NULL
"""


def create_tables(connection: Connection) -> None:
    """Create the schema `leadscore` and our tables, with the present contract's features, where they are absent."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        create_schema(connection, "leadscore")
        connection.execute(MATERIALIZATIONS_TABLE)
        connection.execute(LATER_COLUMN)
        connection.execute(IDENTITIES_TABLE)
        for asset in ASSETS_WITH_ROWS:
            connection.execute(sql.SQL(ROWS_TABLE).format(table=_table(asset)))
            connection.execute(sql.SQL(LATER_COLUMNS).format(table=_table(asset)))
    for asset in ASSETS_WITH_ROWS:
        _add_columns(connection, asset, CONTRACT.names)


def store(
    connection: Connection,
    asset: str,
    org_id: str,
    *,
    run_id: str,
    info: dict[str, Any],
    rows: pd.DataFrame | None = None,
) -> None:
    """Replace the stored value of `asset` for `org_id`: rows and info together, or nothing if it fails.

    `rows` has columns of KEY_TYPES and float64 features, and belongs to the assets that have a table for them; the
    others give None. Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    with explaining(f"storing {asset}", REMEDY):
        if rows is not None:
            _add_columns(connection, asset, [name for name in rows.columns if name not in KEY_TYPES])
        with connection.transaction():
            # Two runs for one org would otherwise both delete, then both insert.
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [org_id, TABLES_LOCK])
            if rows is not None:
                connection.execute(sql.SQL("DELETE FROM {} WHERE org_id = %s").format(_table(asset)), [org_id])
                _copy_in(connection, asset, org_id, rows)
            columns = None if rows is None else list(rows.columns)
            connection.execute(REMEMBER, [asset, org_id, run_id, Jsonb(info), columns])


def load(connection: Connection, asset: str, org_id: str) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """Return the stored value of `asset` for `org_id`: its rows, in their stored order, and its info.

    The rows are None when the asset has none. Raises NotMaterialized, RecordsRemoved, SourceMismatch before the set-up,
    DatabaseUnavailable.
    """
    with explaining(f"loading {asset}", REMEDY), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        stored: Any = connection.execute(
            "SELECT info, columns, rows_removed_at FROM leadscore.materializations WHERE asset = %s AND org_id = %s",
            [asset, org_id],
        ).fetchone()
        if stored is None:
            raise NotMaterialized(f"{asset} was never materialized for org {org_id}. Materialize {asset} first.")
        info, columns, rows_removed_at = stored
        if rows_removed_at:
            raise RecordsRemoved(asset, org_id)
        return (None if columns is None else _copy_out(connection, asset, org_id, columns)), info


def infos(connection: Connection, asset: str) -> dict[str, dict[str, Any]]:
    """Return, per org, the info with which `asset` was last stored.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    query = "SELECT org_id, info FROM leadscore.materializations WHERE asset = %s"
    with explaining(f"listing the orgs of {asset}", REMEDY), connection.transaction():
        stored: list[Any] = connection.execute(query, [asset]).fetchall()
    return dict(stored)


def _table(asset: str) -> sql.Identifier:
    return sql.Identifier("leadscore", asset)


def _add_columns(connection: Connection, asset: str, names: Sequence[str]) -> None:
    """Add the features that the asset's table lacks. Nothing is locked when it lacks none, as is usual."""
    query = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'leadscore' AND table_name = %s"
    with connection.transaction():
        present = connection.execute(query, [asset]).fetchall()
    added = [name for name in names if (name,) not in present]
    if not added:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        for name in added:
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} double precision").format(
                    _table(asset), sql.Identifier(name)
                )
            )


def _copy_in(connection: Connection, asset: str, org_id: str, rows: pd.DataFrame) -> None:
    table = rows.copy(deep=False)
    table.insert(0, "org_id", org_id)
    table.insert(1, "row_number", range(len(rows)))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        _table(asset), sql.SQL(", ").join(sql.Identifier(name) for name in table.columns)
    )
    with connection.cursor().copy(statement) as copy:
        for start in range(0, len(table), ROWS_PER_BLOCK):
            copy.write(table.iloc[start : start + ROWS_PER_BLOCK].to_csv(header=False, index=False))


def _copy_out(connection: Connection, asset: str, org_id: str, columns: list[str]) -> pd.DataFrame:
    statement = sql.SQL(
        "COPY (SELECT {} FROM {} WHERE org_id = {} ORDER BY row_number) TO STDOUT (FORMAT csv, HEADER)"
    ).format(sql.SQL(", ").join(sql.Identifier(name) for name in columns), _table(asset), sql.Literal(org_id))
    content = io.BytesIO()
    with connection.cursor().copy(statement) as copy:
        for block in copy:
            content.write(block)
    content.seek(0)
    types = dict.fromkeys(columns, "float64") | {name: kind for name, kind in KEY_TYPES.items() if name in columns}
    # An id such as "NA" is an id; only features may be unknown.
    unknown = {name: [""] for name in columns if name not in KEY_TYPES}
    return pd.read_csv(content, dtype=types, keep_default_na=False, na_values=unknown)
