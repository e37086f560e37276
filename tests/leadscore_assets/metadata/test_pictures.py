"""The pictures of an evaluation: shown in place by Dagster, and drawn from what is stored alone."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import dagster as dg
import msgspec
import pytest

from leadscore.comparison import Estimate
from leadscore.evaluation import CalibrationBin, RocPoint
from leadscore.gate import Judgement
from leadscore.registry.store import Registry
from leadscore_assets.metadata.history import PastVersion, past_versions
from leadscore_assets.metadata.pictures import DECISION_COLOURS, evaluation_pictures, versions_pictures
from tests.leadscore_assets.metadata.judged_versions import ORG, judged

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FIGURE = Estimate(0.7, 0.6, 0.8)


def drawn(picture: dg.MetadataValue) -> ET.Element:
    """Return the SVG of a picture that Dagster shows in place: Markdown of less than 1,000 characters."""
    markdown = str(picture.value)
    assert len(markdown) < 1_000
    [svg] = re.findall(r"^!\[[^\]]+\]\(<data:image/svg\+xml,([^<>#%]*(?:%[0-9A-F]{2}[^<>#%]*)*)>\)\n\n", markdown)
    return ET.fromstring(unquote(svg))


def texts(picture: dg.MetadataValue) -> list[str]:
    return [element.text or "" for element in drawn(picture).iter() if element.tag.endswith("text")]


def dots(picture: dg.MetadataValue) -> dict[tuple[str, str], int]:
    """Return how many dots there are, by colour and size."""
    paths = [element for element in drawn(picture).iter() if "h0" in element.get("d", "")]
    return {(path.get("stroke", ""), path.get("stroke-width", "")): path.get("d", "").count("h0") for path in paths}


def version(days: int, decision: str = "hold", fingerprint: str = "", *, is_active: bool = False) -> PastVersion:
    moment = JANUARY + timedelta(days=days)
    return PastVersion(f"{days}", decision, is_active, moment, 1_000, FIGURE, FIGURE, fingerprint)


@pytest.fixture
def judgement(registry: Registry) -> Judgement:
    """Give a judgement whose curves have as many points as are ever stored."""
    stored = registry.judgement(ORG, judged(registry))
    assert stored is not None
    shares = [number / 99 for number in range(100)]
    report = msgspec.structs.replace(
        stored.report,
        roc_curve=tuple(RocPoint(share, share**0.333) for share in shares),
        calibration=tuple(CalibrationBin(share, share + 0.1, 100, share, share) for share in shares[::10]),
    )
    return msgspec.structs.replace(stored, report=report)


def test_an_evaluation_has_three_pictures_and_a_champion_shows_in_two(judgement: Judgement) -> None:
    alone = evaluation_pictures(judgement)
    assert [str(picture.value).partition("](")[0] for picture in alone.values()] == [
        "![ROC curve",
        "![Calibration",
        "![Confusion matrix",
    ]
    beside = evaluation_pictures(msgspec.structs.replace(judgement, champion=judgement.report))
    for name, picture in beside.items():
        paths = [element.get("stroke") for element in drawn(picture).iter()]
        assert ("sandybrown" in paths) == (name != "confusion_matrix")
    assert str(beside["roc_curve"].value).endswith(
        "Blue: candidate, ROC-AUC 0.750; orange: active version, ROC-AUC 0.750."
    )


def test_the_same_judgement_gives_the_same_pictures(judgement: Judgement) -> None:
    assert evaluation_pictures(judgement) == evaluation_pictures(judgement)


def test_a_holdout_of_one_class_is_drawn_without_a_roc_auc(judgement: Judgement) -> None:
    metrics = msgspec.structs.replace(judgement.report.metrics, roc_auc=None)
    report = msgspec.structs.replace(judgement.report, metrics=metrics, roc_curve=())
    picture = evaluation_pictures(msgspec.structs.replace(judgement, report=report))["roc_curve"]
    assert len(drawn(picture)) > 0
    assert str(picture.value).endswith("Blue: candidate, no ROC-AUC: one class.")


def test_the_confusion_matrix_has_the_counts(judgement: Judgement) -> None:
    matrix = msgspec.structs.replace(
        judgement.report.metrics.confusion_matrix, true_negatives=1_234_567, false_positives=2, false_negatives=3
    )
    metrics = msgspec.structs.replace(judgement.report.metrics, confusion_matrix=matrix)
    report = msgspec.structs.replace(judgement.report, metrics=metrics)
    picture = evaluation_pictures(msgspec.structs.replace(judgement, report=report))["confusion_matrix"]
    assert texts(picture)[:4] == ["1,234,567", "2", "3", "1"]


def test_versions_stand_at_the_time_as_of_which_they_were_trained() -> None:
    """Ten times as far apart in time is ten times as far apart in the picture."""
    picture = versions_pictures([version(0), version(10), version(110)])["roc_auc_over_time"]
    [bars] = [element.get("d", "") for element in drawn(picture).iter() if "v" in element.get("d", "")]
    _, first, second = (float(step) for step in re.findall(r"m(-?\d+)", bars))
    assert second == pytest.approx(10 * first, rel=0.05)
    assert texts(picture) == ["0.80", "0.60", "2026-01-01", "2026-04-21"]


def test_versions_that_were_judged_on_other_leads_than_the_newest_are_marked() -> None:
    versions = [
        version(0, "activate", "a", is_active=True),
        version(30, "hold", "b"),
        version(60, "activate", "c"),
        version(90, "hold", "c"),
    ]
    for picture in versions_pictures(versions).values():
        assert dots(picture) == {
            ("black", "11"): 1,
            (DECISION_COLOURS["activate"], "8"): 2,
            (DECISION_COLOURS["hold"], "8"): 2,
            ("white", "4"): 2,
        }
        assert "Hollow: judged on the newest version's leads." in str(picture.value)


@pytest.mark.parametrize("count", [2, 24])
def test_of_many_versions_the_newest_are_drawn(count: int) -> None:
    decisions = ("activate", "hold", "refuse")
    versions = [version(31 * number, decisions[number % 3], f"{number // 5}") for number in range(count)]
    versions[-1] = replace(versions[-1], is_active=True)
    for picture in versions_pictures(versions).values():
        shown = sum(number for (colour, _), number in dots(picture).items() if colour in DECISION_COLOURS.values())
        assert min(count, 8) <= shown <= count
        last = versions[-1].as_of
        assert last is not None
        assert f"{last:%Y-%m-%d}" in texts(picture)


def test_versions_without_figures_are_not_drawn(registry: Registry) -> None:
    unjudged = PastVersion("20260101000000", "not judged", is_active=False, as_of=JANUARY)
    for picture in versions_pictures([unjudged]).values():
        assert len(drawn(picture)) == 0
    judged(registry, auc=FIGURE)
    for picture in versions_pictures([unjudged, *past_versions(registry, ORG)]).values():
        assert dots(picture) == {(DECISION_COLOURS["hold"], "8"): 1, ("white", "4"): 1}
