"""The report of a taught version shows the pooled model's word beside the version's, and what came true."""

from __future__ import annotations

from typing import Any

import pytest

from leadscore.pooling import POOLED
from leadscore_assets.report.plots import taught_plot
from leadscore_assets.report.render import render_report


def test_it_says_what_the_version_stands_on_and_how_much_the_pools_word_counts(taught: Any) -> None:
    told, manifest = taught.material.taught, taught.material.manifest
    assert told.pooled_version == taught.registry.active(POOLED).version
    assert told.pooled_rows == manifest.parameters["teaching_strength"]
    assert (told.own_rows, told.own_leads) == (manifest.split.training_rows, manifest.split.training_records)


def test_before_is_what_the_pooled_model_says_and_after_what_the_version_says(taught: Any) -> None:
    """The org had no version, so the judge compared it with the base rate: the pooled model was not asked to serve."""
    told, report = taught.material.taught, taught.judgement.report
    assert told.comparison.brier_score.candidate.value == pytest.approx(report.metrics.brier_score)
    assert told.comparison.brier_score.baseline.value != told.comparison.brier_score.candidate.value
    rows = sum(part.rows for part in told.moved)
    assert 0 < rows <= report.holdout_rows
    after = sum(part.after * part.rows for part in told.moved) / rows
    before = sum(part.before * part.rows for part in told.moved) / rows
    assert after == pytest.approx(before, abs=0.1)
    assert [part.before for part in told.moved] == sorted(part.before for part in told.moved)


def test_the_picture_has_a_disc_for_each_tenth_and_says_it_in_words(taught: Any) -> None:
    moved = taught.material.taught.moved
    plot = taught_plot(moved)
    assert len(plot.dots) == len(moved) > 1
    assert f"{moved[0].rows} rows converted" in plot.words


def test_the_page_tells_it_and_other_versions_pages_do_not(taught: Any, first: Any) -> None:
    page = render_report(taught.material).decode()
    version = taught.material.taught.pooled_version
    assert "What the org's own leads changed" in page
    assert f"This version is version {version} of the pooled model, taught by" in page
    assert f"All orgs' leads, by version {version} of the pooled model" in page.replace("&#39;", "'")
    assert "What the org's own leads changed" not in render_report(first.material).decode()
    assert first.material.taught is None
