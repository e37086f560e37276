"""Made-up leads whose outcomes depend on two features, and the report of a version that was trained on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leadscore.features import CONTRACT
from leadscore.gate import Judgement, policy_from
from leadscore.records import RecordCounts, Window
from leadscore.registry.activation import apply_verdict
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.report.describe import material_from
from leadscore_assets.report.figures import ReportMaterial
from leadscore_assets.training.judge import judge
from leadscore_assets.training.split import holdout_mask
from leadscore_assets.training.train import train

ORG = "acme"
AGES = (0, 3, 14)
FIRST_DAY = date(2026, 1, 1)
WINDOW = Window(datetime(2026, 6, 1, tzinfo=UTC), 183, 90, ("WON",), AGES)


def _features(leads: int = 400, *, days: int = 120, seed: int = 1, prefix: str = "lead") -> FeatureRows:
    """Make leads, one after the other over `days`, with a row per age; appointments and source tell who converts."""
    random = np.random.default_rng(seed)
    count = leads * len(AGES)
    lead = np.repeat(np.arange(leads), len(AGES))
    source = np.repeat(random.choice([10.0, 40.0, 70.0], leads), len(AGES))
    columns = {name: np.zeros(count) for name in CONTRACT.names}
    columns["lead_source_score"] = source
    columns["response_time_minutes"] = np.where(random.random(count) < 0.2, np.nan, random.gamma(2, 60, count).round(1))
    columns["inbound_messages_count"] = random.poisson(2, count).astype(float)
    columns["appointments_count"] = np.minimum(random.poisson(0.8, leads), 3).astype(float)[lead]
    columns["property_price"] = random.normal(250_000, 40_000, count).round()
    columns["days_since_creation"] = np.tile(np.array(AGES, dtype=float), leads)
    columns["market_activity_score"] = np.full(count, 50.0)
    chance = 1 / (1 + np.exp(2.2 - 1.2 * columns["appointments_count"][:: len(AGES)] - source[:: len(AGES)] / 70))
    converted = (random.random(leads) < chance).astype(np.int64)[lead]
    created = [(FIRST_DAY + timedelta(days=int(number * days / leads))).isoformat() for number in lead.tolist()]
    keys = {
        "lead_id": [f"{prefix}-{number:06d}" for number in lead.tolist()],
        "created_on": created,
        "landmark_days": np.tile(AGES, leads),
        "converted": converted,
    }
    return _checked(pd.DataFrame(keys | columns))


def _checked(rows: pd.DataFrame) -> FeatureRows:
    rows = rows.reset_index(drop=True)
    if "is_held_out" not in rows:
        rows.insert(4, "is_held_out", holdout_mask(rows["lead_id"]).astype(np.int64))
    leads = rows.drop_duplicates("lead_id")
    counts = RecordCounts(
        records=len(leads),
        converted_records=int(leads["converted"].sum()),
        rows=len(rows),
        excluded={"still_open": 17, "outcome_time_unknown": 2},
        sql_sha256="c0ffee",
        set_aside={"property_price_out_of_range": 5},
        fingerprint=f"rows of {len(rows)}",
    )
    return FeatureRows(rows, counts, WINDOW, CONTRACT)


@dataclass(frozen=True)
class Reported:
    """A judged version, what its report is made of, and the registry that it lies in."""

    registry: Registry
    features: FeatureRows
    judgement: Judgement
    material: ReportMaterial


def _report(registry: Registry, features: FeatureRows, settings: Settings) -> Reported:
    version = train(registry, ORG, features, run_id="run-7").version
    judging = judge(registry, ORG, version, features, policy_from(settings))
    judgement = registry.record_judgement(ORG, version, judging.judgement)
    return Reported(registry, features, judgement, material_from(settings, judging))


@pytest.fixture(scope="session")
def make_features() -> Callable[..., FeatureRows]:
    """Give `make_features(leads=400, days=120, seed=1, prefix="lead")`."""
    return _features


@pytest.fixture(scope="session")
def with_rows() -> Callable[[FeatureRows, pd.DataFrame], FeatureRows]:
    """Give `with_rows(features, rows)`: the same features with other rows, counted again."""
    return lambda features, rows: replace(_checked(rows), window=features.window)


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Reported]:
    """Give `make_report(registry, features, settings)`, which trains and judges a version."""
    return _report


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Give an org's first version, judged against the base rate."""
    return _report(Registry(tmp_path_factory.mktemp("first")), _features(), Settings())


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Give a version that was judged against a champion, which knows the leads of the first half only."""
    registry, features = Registry(tmp_path_factory.mktemp("second")), _features()
    older = _checked(features.rows[features.rows["created_on"] < "2026-03-01"])
    champion = _report(registry, older, Settings()).judgement.report.version
    apply_verdict(registry, ORG, champion, by="a test")
    return _report(registry, features, Settings())


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Give a function that returns a new folder for a registry."""
    return lambda: tmp_path_factory.mktemp("models")
