"""CRMs in throw-away databases, simulated or loaded from a folder, and the feature rows of their orgs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from leadscore.features import CONTRACT
from leadscore.records import window_from
from leadscore.settings import Settings
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import extract
from leadscore_assets.source.outcomes import create_functions
from leadscore_assets.training.contract_check import check_rows
from standalone.crm import create_tables
from standalone.crm_load import load_folder
from standalone.orgs import Org
from standalone.simulator import into_database, simulate
from standalone.throwaway import new_database, throwaway_server

SIMULATED_AT = datetime(2026, 6, 1, tzinfo=UTC)


@contextmanager
def simulated_crm(orgs: Sequence[Org], seed: int) -> Iterator[Settings]:
    """Yield settings for a throw-away server that holds the orgs as they are at SIMULATED_AT."""
    with throwaway_server() as server:
        settings = new_database(server, "simulated")
        with connect(settings) as connection:
            create_functions(connection)
            into_database(connection, simulate(orgs, seed=seed, now=SIMULATED_AT))
        yield settings


@contextmanager
def loaded_crm(folder: Path) -> Iterator[Settings]:
    """Yield settings for a throw-away server that holds the folder's tables, and a registry of its own."""
    with tempfile.TemporaryDirectory() as models, throwaway_server() as server:
        settings = replace(new_database(server, "crm"), model_path=Path(models))
        with connect(settings) as connection:
            create_functions(connection)
            create_tables(connection)
            load_folder(connection, folder)
        yield settings


def features_of(settings: Settings, org_id: str, as_of: datetime) -> FeatureRows:
    """Return the checked feature rows of an org."""
    return check_rows(extract(settings, org_id, window_from(settings, as_of)), CONTRACT)
