"""The CRM that these tests make by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadscore.settings import Settings
from standalone.crm import TABLES
from standalone.postgres import HOST, SUPERUSER, EmbeddedPostgres
from tests.leadscore_assets.source.hand_made_crm import Crm
from tests.leadscore_assets.source.site_sql import Site


@pytest.fixture(scope="session")
def shared_crm(postgres_server: EmbeddedPostgres) -> Iterator[Crm]:
    """Give one CRM per test process: emptying its tables is ten times quicker than making them."""
    name = f"hand_made_crm_{os.getpid()}"
    postgres_server.create_database(name)
    made = Crm(
        Settings(
            db_host=HOST,
            db_port=postgres_server.port,
            db_name=name,
            db_user=SUPERUSER,
            db_password=postgres_server.password,
        )
    )
    yield made
    made.connection.close()


@pytest.fixture
def crm(shared_crm: Crm) -> Crm:
    """Give an empty CRM with the real tables, whose ids start at 1."""
    shared_crm.connection.execute(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
    return shared_crm


@pytest.fixture
def own_crm(database: Settings) -> Iterator[Crm]:
    """Give an empty CRM to a test that changes the tables themselves."""
    made = Crm(database)
    yield made
    made.connection.close()


@pytest.fixture
def own_statuses(crm: Crm) -> Crm:
    """Give an empty CRM whose leads may have any status; later tests do not notice."""
    checks = {"dossier": "dossier_status_check", "dossier_status_history": "dossier_status_history_to_status_check"}
    for table, check in checks.items():
        crm.connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {check}")
    return crm


@pytest.fixture
def site(crm: Crm, tmp_path: Path) -> Site:
    """Give a site whose file is written by each call."""
    return Site(crm, tmp_path / "site.sql")
