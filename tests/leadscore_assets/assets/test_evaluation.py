"""evaluation: a version is judged once, on its own records, and shown beside those before it."""

from __future__ import annotations

from typing import Any

import pytest

from leadscore.registry.store import Registry
from leadscore_assets.report import figures
from leadscore_assets.report.backtest import Backtest
from leadscore_assets.report.line_ahead import LineAhead
from tests.leadscore_assets.run_results import failure_text, metadata_of


def test_an_orgs_versions_over_time_are_shown_with_each_evaluation(train: Any, registry: Registry) -> None:
    """The second evaluation has a table and pictures of both versions, and the decision as a number to plot."""
    first, second = (metadata_of(train("sound"), "evaluation") for _ in range(2))

    assert (first["passed_gate"], second["passed_gate"]) == (1, 0)
    assert second["roc_auc_over_time"].startswith("![ROC-AUC over time](<data:image/svg+xml,")
    assert [record.data["active"] for record in first["versions"].records] == ["active"]  # this run activates it
    newest, oldest = (record.data for record in second["versions"].records)
    assert [newest["version"], oldest["version"]] == registry.versions("sound")
    assert (newest["decision"], newest["active"]) == ("hold", "")
    assert (oldest["decision"], oldest["active"]) == ("activate", "active")
    assert oldest["as_of"] == "2026-06-01"
    assert oldest["roc_auc"].startswith(f"{first['roc_auc']:.3f} (")


def test_a_version_is_judged_once(train: Any, registry: Registry) -> None:
    """Materializing the evaluation again shows the stored judgement and changes nothing."""
    train("sound")
    [version] = registry.versions("sound")
    judgement = registry.judgement("sound", version)

    result = train("sound", only=["evaluation"])

    assert result.success
    assert metadata_of(result, "evaluation")["champion_version"] == "none"
    assert registry.judgement("sound", version) == judgement


def test_what_the_report_notes_is_stored_and_shown(
    train: Any, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that is ahead on the newest leads stands in the judgement, in the report and in Dagster."""
    ahead = []

    def found(test: Backtest, *_: object) -> LineAhead:
        ahead.append(LineAhead(test.first_day, test.comparison, test.comparison))
        return ahead[-1]

    monkeypatch.setattr(figures, "line_ahead", found)
    shown = metadata_of(train("sound"), "evaluation")
    [version] = registry.versions("sound")
    [line] = ahead
    assert shown["notes"].endswith(line.note.text)
    assert registry.judgement("sound", version).decision.notes[-1] == line.note
    assert line.note.message in registry.judged_file("sound", version, "report.html").decode()


def test_a_candidate_is_not_judged_on_other_records_than_its_own(train: Any) -> None:
    """When the features were made again in between, the evaluation asks for a new candidate."""
    train("sound", only=["conversion_records"])
    train("sound", only=["lead_features"])
    train("sound", only=["trained_model"])
    earlier = {"ops": {"conversion_records": {"config": {"as_of": "2026-04-01"}}}}
    train("sound", only=["conversion_records"], run_config=earlier)
    train("sound", only=["lead_features"])

    result = train("sound", only=["evaluation"])

    assert "materialize trained_model again" in failure_text(result, "evaluation")
