"""An org whose leads can be scored: simulated and trained once, then copied for each test."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from leadscore.features import CONTRACT
from leadscore.records import Window, window_from
from leadscore.registry.activation import roll_back
from leadscore.registry.store import Registry
from leadscore.scoring import action_policy_from
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.scoring.org_models import OrgModel, OrgModels
from leadscore_assets.scoring.score_org import Scoring, Task, score_org
from leadscore_assets.scoring.tables import create_month_of_history
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.extraction import extract
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.train import train
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.postgres import EmbeddedPostgres
from standalone.simulator import into_database, simulate
from standalone.throwaway import new_database

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ORG = "north"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Scored:
    """A CRM with one org that has an active version, and a connection to it."""

    settings: Settings
    connection: Connection
    registry: Registry

    def score(self, *, days: float = 0, org_id: str = ORG, **task: Any) -> Scoring:
        """Score the org as of so many days after NOW."""
        window = self.window(days)
        create_month_of_history(self.connection, window.as_of)
        return score_org(self.connection, self.models, org_id, Task(window, action_policy_from(self.settings), **task))

    @property
    def models(self) -> OrgModels:
        """The models that score the orgs' leads."""
        return OrgModels(self.registry, is_pooling=self.settings.pooled_model)

    @property
    def model(self) -> OrgModel:
        """The org's own model."""
        model = self.models.of(ORG)
        assert model is not None
        return model

    def window(self, days: float = 0) -> Window:
        """Return the window that ends so many days after NOW."""
        return window_from(self.settings, NOW + days * DAY)

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """Return what the query finds."""
        return self.connection.execute(query.encode(), parameters).fetchall()

    def value(self, query: str, *parameters: Any) -> Any:
        """Return the one value that the query finds."""
        [(value,)] = self.rows(query, *parameters)
        return value

    def features(self) -> FeatureRows:
        """Return the org's feature rows."""
        return check_rows(extract(self.settings, ORG, self.window()), CONTRACT)

    def activate(self, version: str) -> None:
        """Make a version active."""
        roll_back(self.registry, ORG, version, by="test", reason="a test", is_forced=True)

    def train_another(self) -> str:
        """Train and activate another version, from fewer rows; return its id."""
        features = self.features()
        fewer = replace(features, rows=features.rows[: len(features.rows) // 2].reset_index(drop=True))
        version = train(self.registry, ORG, fewer).version
        self.activate(version)
        return version


@pytest.fixture(scope="session")
def template(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Give the settings of a CRM whose one org has an active version; no test changes it."""
    models: Path = tmp_path_factory.mktemp("models")
    settings = replace(new_database(postgres_server, f"scored_{os.getpid()}"), model_path=models)
    set_up(settings)
    with connect(settings) as connection:
        create_tables(connection)
        into_database(connection, simulate([Org(ORG, leads=700, conversion_rate=0.35)], seed=3, now=NOW))
        scored = Scored(settings, connection, Registry(models))
        scored.activate(train(scored.registry, ORG, scored.features()).version)
    return settings


@pytest.fixture
def scored(template: Settings, postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Scored]:
    """Give a copy of that CRM and its registry."""
    name = f"test_{secrets.token_hex(6)}"
    database = sql.Identifier(name)
    with postgres_server.connect() as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, sql.Identifier(template.db_name)))
    shutil.copytree(template.model_path, tmp_path / "models")
    settings = replace(template, db_name=name, model_path=tmp_path / "models", state_dir=tmp_path / "state")
    with connect(settings) as connection:
        yield Scored(settings, connection, Registry(settings.model_path))
    with postgres_server.connect() as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
