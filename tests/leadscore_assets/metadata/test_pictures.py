"""The pictures of an evaluation: drawn from what is stored alone, so the same judgement gives the same bytes."""

from __future__ import annotations

import msgspec

from leadscore.comparison import Estimate
from leadscore.registry.store import Registry
from leadscore_assets.metadata.history import past_versions
from leadscore_assets.metadata.pictures import evaluation_pictures, versions_picture
from tests.leadscore_assets.metadata.judged_versions import ORG, judged


def test_the_same_versions_give_the_same_picture(registry: Registry) -> None:
    judged(registry, auc=Estimate(0.7, 0.6, 0.8))
    found = past_versions(registry, ORG)

    assert versions_picture(found) == versions_picture(found)


def test_an_evaluation_has_three_pictures_and_a_champion_shows_in_two(registry: Registry) -> None:
    judgement = registry.judgement(ORG, judged(registry))
    assert judgement is not None
    alone = evaluation_pictures(judgement)
    titles = {name: picture.value.partition("](data:image/png;base64,")[0] for name, picture in alone.items()}
    assert titles == {
        "roc_curve": "![ROC curve",
        "calibration_curve": "![Calibration",
        "confusion_matrix": "![Confusion matrix",
    }
    assert evaluation_pictures(judgement) == alone
    beside = evaluation_pictures(msgspec.structs.replace(judgement, champion=judgement.report))
    assert [name for name in alone if beside[name] != alone[name]] == ["roc_curve", "calibration_curve"]


def test_a_holdout_of_one_class_is_drawn_without_a_roc_auc(registry: Registry) -> None:
    judgement = registry.judgement(ORG, judged(registry))
    assert judgement is not None
    metrics = msgspec.structs.replace(judgement.report.metrics, roc_auc=None)
    one_class = msgspec.structs.replace(judgement, report=msgspec.structs.replace(judgement.report, metrics=metrics))
    before, after = evaluation_pictures(judgement), evaluation_pictures(one_class)
    assert [name for name in before if after[name] != before[name]] == ["roc_curve"]
