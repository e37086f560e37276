"""The report of a version that was trained on made-up leads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from leadscore.gate import Judgement, policy_from
from leadscore.registry.activation import apply_verdict
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.report.describe import material_from
from leadscore_assets.report.figures import ReportMaterial
from leadscore_assets.training.judge import judge
from leadscore_assets.training.teacher import Teacher, teacher_for
from leadscore_assets.training.train import train
from tests.leadscore_assets.made_pool import activate_pool, org_features
from tests.leadscore_assets.made_rows import checked, made_features

ORG = "acme"


@dataclass(frozen=True)
class Reported:
    """A judged version, what its report is made of, and the registry that it lies in."""

    registry: Registry
    features: FeatureRows
    judgement: Judgement
    material: ReportMaterial


def _report(registry: Registry, features: FeatureRows, settings: Settings, teacher: Teacher | None = None) -> Reported:
    version = train(registry, ORG, features, teacher=teacher, run_id="run-7").version
    judging = judge(registry, ORG, version, features, policy_from(settings))
    judgement = registry.record_judgement(ORG, version, judging.judgement)
    return Reported(registry, features, judgement, material_from(settings, judging))


@pytest.fixture(scope="session")
def with_rows() -> Callable[[FeatureRows, pd.DataFrame], FeatureRows]:
    """Give `with_rows(features, rows)`: the same features with other rows, counted again."""
    return lambda features, rows: replace(checked(rows), window=features.window)


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Reported]:
    """Give `make_report(registry, features, settings)`, which trains and judges a version."""
    return _report


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Give an org's first version, judged against the base rate."""
    return _report(Registry(tmp_path_factory.mktemp("first")), made_features(), Settings())


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Give a version that was judged against a champion, which knows the leads of the first half only."""
    registry, features = Registry(tmp_path_factory.mktemp("second")), made_features()
    older = checked(features.rows[features.rows["created_on"] < "2026-03-01"])
    champion = _report(registry, older, Settings()).judgement.report.version
    apply_verdict(registry, ORG, champion, by="a test")
    return _report(registry, features, Settings())


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Give a version of an org that taught the pooled model."""
    registry, features = Registry(tmp_path_factory.mktemp("taught")), org_features("north", leads=400)
    activate_pool(registry)
    return _report(registry, features, Settings(), teacher_for(registry, ORG, features, logging.getLogger("a test")))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Give a function that returns a new folder for a registry."""
    return lambda: tmp_path_factory.mktemp("models")
