"""The report is stored with the judgement, with links as the settings say."""

from __future__ import annotations

import numpy as np

from leadscore.gate import policy_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.report.describe import described
from leadscore_assets.training.judge import judge
from leadscore_assets.training.train import train
from tests.leadscore_assets.report.page import Page


def test_the_report_is_stored_with_the_judgement(make_features, models):
    registry, settings, features = Registry(models()), Settings(dagster_url="http://dagster.example/"), make_features()
    version = train(registry, "acme", features, run_id="run-7").version
    judging = judge(registry, "acme", version, features, policy_from(settings))
    judgement, files = described(settings, judging)
    registry.record_judgement("acme", version, judgement, files)
    content = registry.judged_file("acme", version, "report.html")
    assert "http://dagster.example/runs/run-7" in Page(content).links
    assert np.isclose(len(content), 50_000, rtol=0.5)
