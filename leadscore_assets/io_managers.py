"""Stores what an asset returns: rows and a JSON document per asset and org, in the schema `leadscore`.

An asset returns a frozen dataclass. Its field `rows`, if it has one, is stored as rows, and the other fields as one
JSON document. Because the values are in the database, any asset can be materialized alone, in another run or on another
machine.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import dagster as dg
import msgspec
import pandas as pd

from leadscore.errors import SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.failures import clear_failures
from leadscore_assets.source import tables
from leadscore_assets.source.database import connect
from leadscore_assets.training.contract_check import counted

ROWS = "rows"


class LeadscoreTables(dg.IOManager):
    """Stores each asset's value for an org; a new materialization replaces the org's former one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Replace what the org's former materialization stored, in one transaction."""
        asset, org_id, run_id = context.asset_key.path[-1], context.partition_key, context.run_id
        document, rows = to_stored(obj)
        with clear_failures(), connect(self.settings) as connection:
            tables.store(connection, asset, org_id, run_id=run_id, info=document, rows=rows)

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the upstream asset's value for the org, as the type that the asset asks for.

        Feature rows are counted again, and get the fingerprint of what is there, because rows of leads that are gone
        are erased from stored values.
        """
        asset, org_id = context.asset_key.path[-1], context.partition_key
        with clear_failures():
            with connect(self.settings, read_only=True) as connection:
                rows, document = tables.load(connection, asset, org_id)
            value = from_stored(context.dagster_type.typing_type, document, rows, asset)
            return counted(value) if isinstance(value, FeatureRows) else value


def to_stored(value: Any) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Return the document and the rows (None without any) that hold a dataclass."""
    names = [field.name for field in fields(value) if field.name != ROWS]
    return {name: msgspec.to_builtins(getattr(value, name)) for name in names}, getattr(value, ROWS, None)


def from_stored(kind: Any, document: dict[str, Any], rows: pd.DataFrame | None, asset: str) -> Any:
    """Return the value of type `kind` from its stored parts. Raises SourceMismatch when another release stored it."""
    missing = [] if rows is None else [name for name in kind.KEYS if name not in rows]
    if missing:
        raise SourceMismatch(f"another release stored {asset}, without {', '.join(missing)}; materialize {asset} again")
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind) if field.name != ROWS]
    try:
        values = {name: msgspec.convert(document[name], hints[name]) for name in names}
    except (KeyError, msgspec.ValidationError) as error:
        raise SourceMismatch(f"another release stored {asset} ({error}); materialize {asset} again") from error
    return kind(**values) if rows is None else kind(rows=rows, **values)
