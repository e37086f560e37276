"""The page: complete, true to its figures, safe to open, the same for the same version, and without any lead."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from leadscore.features import CONTRACT
from leadscore.gate import Reason
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.report.render import mark, render_report
from leadscore_assets.report.slices import Slice
from leadscore_assets.report.summary import answers
from tests.browser import PHONE, sheets
from tests.leadscore_assets.report.page import Page

SECTIONS = ["summary", "decision", "data", "use", "probabilities", "ranking", "reasons", "time", "provenance"]


@pytest.fixture(scope="module")
def page(second):
    return Page(render_report(second.material))


def test_the_page_is_whole_and_has_every_section(page):
    assert page.open == []
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS


def test_the_first_screen_is_open_and_the_details_are_folded(second, page):
    content = render_report(second.material).decode()
    first_screen, *folded = content.split("<details>")
    assert [f'<section id="{name}">' in first_screen for name in SECTIONS] == [True] * 2 + [False] * 7
    assert [f'<section id="{name}">' in part for name, part in zip(SECTIONS[2:], folded, strict=True)] == [True] * 7
    for answer in answers(second.material):
        assert f"{answer.question} {answer.verdict}" in page.text
        assert answer.text in page.text


def test_the_page_needs_nothing_from_elsewhere(second, page):
    content = render_report(second.material).decode()
    assert (page.loading, page.handlers) == ([], [])
    assert "url(" not in content
    assert "@import" not in content
    version = second.judgement.report.version
    assert page.links == [
        f"http://127.0.0.1:5000/api/v1/model/info?org_id=acme&version={version}",
        "http://127.0.0.1:5000/orgs/acme#came-true",
        "http://127.0.0.1:3000/runs/run-7",
    ]
    assert len(content) < 400_000


def test_the_decision_is_told_with_every_reason_and_figure(second, page):
    judgement = second.judgement
    for reason in judgement.decision.reasons:
        assert reason.text in page.text
    [figures] = page.table("figure")
    for name, compared in (
        ("ROC-AUC", judgement.comparison.roc_auc),
        ("Brier score", judgement.comparison.brier_score),
    ):
        own = compared.candidate
        assert figures[name][:2] == [
            f"{own.value:.3f} ({own.low:.3f} to {own.high:.3f})",
            f"{compared.baseline.value:.3f}",
        ]
    assert f"Compared with the active version {judgement.champion.version}" in page.text
    assert f"{judgement.report.base_rate:.1%}" in page.text


def test_the_data_are_told_with_what_was_left_out(page):
    assert "created from 2025-11-30 to 2026-06-01 (183 days)" in page.text
    [excluded, set_aside] = page.table("reason")
    assert excluded == {"outcome time unknown": ["2"], "still open": ["17"]}
    assert set_aside == {"property price below 0": ["5"]}


def test_orgs_that_could_not_be_read_are_told_apart_from_rows(first):
    manifest = first.material.manifest
    counts = msgspec.structs.replace(manifest.counts, unreadable_orgs=2)
    page = Page(render_report(replace(first.material, manifest=msgspec.structs.replace(manifest, counts=counts))))
    assert "the records of 2 orgs" in page.text
    assert "the records of" not in Page(render_report(first.material)).text


def test_the_headline_counts_each_lead_once(second, page):
    told = second.judgement.report.by_lead
    assert f"Of new leads, the 20% that it puts first hold {told.top_reached:.0%} of the conversions" in page.text
    assert f"{told.top_leads} of {told.leads} leads" in page.text
    champion = second.judgement.champion.by_lead
    assert f"champion {champion.top_reached:.0%}; chance 20%" in page.text
    interval = second.material.by_lead.comparison.roc_auc.candidate
    assert f"ROC-AUC{told.roc_auc:.3f} {interval.low:.3f} to {interval.high:.3f} champion" in page.text


def test_the_top_fifth_of_rows_reaches_what_the_lift_says(second, page):
    [step] = [step for step in second.judgement.report.lift if step.contacted == pytest.approx(0.2, abs=0.005)]
    gain = second.material.gain
    assert (gain.contacted, gain.rows) == (round(0.2 * second.judgement.report.holdout_rows), gain.rows)
    told = f"{gain.contacted} of {gain.rows}, of {gain.leads} leads, and hold {step.reached:.0%} of the conversions."
    assert told in page.text


def test_the_actions_share_out_all_rows_and_all_conversions(second, page):
    [bands] = page.table("action")
    assert list(bands) == ["HIGH_PRIORITY", "MEDIUM_PRIORITY", "NURTURE", "LOW_PRIORITY"]
    told = second.material.by_action
    matrix = second.judgement.report.metrics.confusion_matrix
    assert not any(band.is_hidden for band in told)
    assert sum(band.rows or 0 for band in told) == second.judgement.report.holdout_rows
    assert sum(band.conversions or 0 for band in told) == matrix.true_positives + matrix.false_negatives
    big = [band for band in told if band.rows is not None]
    assert len(big) >= 2
    for band in big:
        assert bands[band.label][:3] == [str(band.rows), str(band.leads), str(band.conversions)]
        share = band.conversions / (matrix.true_positives + matrix.false_negatives)
        assert bands[band.label][4] == f"{share:.1%}"


def test_calibration_is_told_by_probability_age_and_source(page, second):
    by_probability, by_age, by_source = (page.table(name)[0] for name in ("probability", "age in days", "source score"))
    assert len(by_probability) > 3
    assert list(by_age) == ["0", "3", "14"]
    assert list(by_source) == ["10", "40", "70"]
    leads, rows, _, converted, error, by_chance, _ = by_age["3"]
    assert leads == rows == str(second.judgement.report.holdout_records)
    assert converted.endswith("%")
    assert float(error) > 0
    assert float(by_chance) > 0


def test_a_group_that_chance_does_not_explain_is_marked_and_the_verdict_says_mostly(second):
    [first, *others] = second.material.by_age
    off = replace(first, calibration=replace(first.calibration, error=0.5, error_by_chance=0.1))
    content = render_report(replace(second.material, by_age=(off, *others)))
    page = Page(content)
    by_age = page.table("age in days")[0]
    assert by_age["0"][-3:] == ["0.500", "0.100", "no"]
    assert content.count(b'<tr class="off">') == 1
    assert page.text.count("Mostly. Overall yes") == 2


def test_ranking_is_told_by_age_and_month_against_the_champion(page, second):
    by_age, by_month = page.table("age in days")[1], page.table("created in")[0]
    [age] = [age for age in second.judgement.report.by_age if age.landmark_days == 14]
    assert by_age["14"][3].startswith(f"{age.roc_auc:.3f} (")
    assert by_age["14"][5] == f"{age.brier_score:.3f}"
    [champions] = [age for age in second.judgement.champion.by_age if age.landmark_days == 14]
    assert by_age["14"][6] == f"{champions.roc_auc:.3f}"
    assert list(by_month) == ["2026-01", "2026-02", "2026-03", "2026-04"]


def test_the_provenance_says_how_to_make_it_again(page, second):
    manifest = second.material.manifest
    assert f"make rebuild ORG=acme VERSION={manifest.version}" in page.text
    for told in (manifest.counts.fingerprint, manifest.code_version, *manifest.files.values()):
        assert told in page.text
    assert manifest.parameters["shape"] in page.text


def test_every_picture_is_told_in_words_too(page):
    assert len(page.labels) > 10
    pictures = [label for label in page.labels if ":" in label]
    assert any(label.startswith("ROC curve: candidate ROC-AUC 0.") for label in pictures)
    assert any(label.startswith("Calibration: probability") for label in pictures)
    assert any(label.startswith("Appointments: 0: ") for label in pictures)


def test_without_a_champion_the_base_rate_is_the_measure(first):
    page = Page(render_report(first.material))
    assert "Compared with the base rate" in page.text
    assert "champion" not in page.text
    assert page.open == []


def test_the_same_version_gives_the_same_bytes(make_report, make_features, first, models):
    again = make_report(Registry(models()), make_features(), Settings())
    fixed = {"version": "20260601000000", "created_at": "then"}
    pages = []
    for material in (first.material, again.material):
        judgement = msgspec.structs.replace(
            material.judgement,
            judged_at="then",
            manifest_sha256="c0ffee",
            report=msgspec.structs.replace(material.judgement.report, version=fixed["version"]),
        )
        manifest = msgspec.structs.replace(material.manifest, **fixed)
        pages.append(
            render_report(replace(material, manifest=manifest, judgement=judgement, links=first.material.links))
        )
    assert pages[0] == pages[1]


def test_no_lead_is_on_the_page(make_report, make_features, models):
    """Neither an id nor a value that only one lead has: odd prices and days do not show."""
    features = make_features(leads=200, prefix="canary")
    features.rows.loc[7, "property_price"] = 777_123.0
    reported = make_report(Registry(models()), features, Settings())
    content = render_report(reported.material).decode()
    assert "canary" not in content
    assert "777,123" not in content


def test_what_an_org_is_called_cannot_break_the_page(first):
    hostile = "<script>alert(1)</script>\"'><b onmouseover=x>; rm -rf ~"
    manifest = msgspec.structs.replace(first.material.manifest, org_id=hostile)
    content = render_report(replace(first.material, manifest=manifest))
    page = Page(content)
    assert (page.loading, page.handlers, page.open) == ([], [], [])
    assert hostile in page.text
    assert b"<script" not in content
    assert "make rebuild 'ORG=<script>" in page.text


@pytest.mark.parametrize("kind", ["too few", "nobody in the holdout converted", "nobody is held out"])
def test_a_refused_version_has_a_report_that_says_so(make_report, make_features, with_rows, models, kind):
    features = make_features(leads=60)
    rows = features.rows.copy()
    if kind == "nobody in the holdout converted":
        rows.loc[rows["is_held_out"] == 1, "converted"] = 0
    if kind == "nobody is held out":
        rows = rows[rows["is_held_out"] == 0]
    reported = make_report(Registry(models()), with_rows(features, rows), Settings())
    assert reported.judgement.decision.verdict == "refuse"
    page = Page(render_report(reported.material))
    assert page.open == []
    assert "Refused: there is too little data to judge it" in page.text
    assert reported.judgement.decision.reasons[0].text in page.text


def test_a_group_of_few_leads_is_not_told(make_report, make_features, with_rows, models):
    """Of a month with fewer than five held-out leads the page has the name, and no figure."""
    features = make_features()
    late = _held_out_leads(features)[-3:]
    rows = features.rows.copy()
    rows.loc[rows["lead_id"].isin(late), "created_on"] = "2026-05-20"
    reported = make_report(Registry(models()), with_rows(features, rows), Settings())
    [by_month] = Page(render_report(reported.material)).table("created in")
    assert by_month["2026-05"][0] == "under 5"
    assert set(by_month["2026-05"][1:]) <= {"\N{EN DASH}", ""}
    assert [cells[0] for cells in by_month.values()].count("hidden") == 1


def _held_out_leads(features):
    return sorted(features.rows.loc[features.rows["is_held_out"] == 1, "lead_id"].unique())


@pytest.mark.parametrize("held_out", [4, 12])
def test_of_few_held_out_leads_no_figure_of_less_than_five_is_told(
    make_report, make_features, with_rows, models, held_out
):
    """With 12 leads the best fifth are too few, with 4 the whole holdout is."""
    features = make_features(leads=200)
    rows = features.rows[~features.rows["lead_id"].isin(_held_out_leads(features)[held_out:])].copy()
    kept = rows["is_held_out"] == 1
    rows.loc[kept, "converted"] = (rows.loc[kept, "lead_id"].rank(method="dense") % 2).astype(int)
    reported = make_report(Registry(models()), with_rows(features, rows), Settings())
    page = Page(render_report(reported.material))
    assert page.open == []
    assert reported.judgement.comparison.leads == held_out
    assert reported.material.by_lead.gain is None
    assert ("fewer than 5 held-out leads: too few to show figures" in page.text) == (held_out == 4)
    assert (f"ROC-AUC{reported.judgement.report.metrics.roc_auc:.3f}" in page.text.replace(" ", "")) == (held_out == 12)
    assert any(label.startswith("ROC curve") for label in page.labels) == (held_out == 12)
    if held_out == 4:
        assert "The top 20% are too few leads to show." in page.text


def test_a_prediction_that_falls_on_few_leads_is_not_told(second):
    few = (Slice("not to convert", 400), Slice("to convert", 3))
    page = Page(render_report(replace(second.material, by_prediction=few)))
    assert "Fewer than 5 leads are above or below a probability of 0.5" in page.text
    assert "Precision " not in page.text.replace("Precision and recall", "")
    assert "true_positives" not in page.text
    assert "did not convert" not in page.text


def test_what_was_not_compared_is_not_said_to_be(make_report, make_features, with_rows, models):
    features = make_features(leads=150)
    lost = features.rows["converted"].where(features.rows["is_held_out"] == 0, 0)
    reported = make_report(Registry(models()), with_rows(features, features.rows.assign(converted=lost)), Settings())
    page = Page(render_report(reported.material))
    assert reported.judgement.comparison is None
    assert "Compared with" not in page.text
    assert "All held-out leads have the same outcome" in page.text


def test_a_reason_that_decided_nothing_is_marked_as_neither():
    codes = [("champion_not_evaluable", False), ("brier_score_worse", False), ("brier_score_kept", True)]
    marks = [mark(Reason(code, "", 0, 0, speaks_for=speaks_for)) for code, speaks_for in codes]
    assert marks == ["!", "\N{BALLOT X}", "\N{CHECK MARK}"]


def test_the_newest_leads_are_told_to_be_others_than_all(page):
    """Younger than the conversion window of 90 days, a lead is known only when it has closed."""
    assert page.text.count("Leads created since 2026-03-03, 90 days before the training,") == 2
    assert "their rate and Brier score are not those of all" in page.text


def test_features_are_told_by_their_labels(second, page):
    assert "Response time" in page.table("feature")[0]
    assert not any(name in page.text.replace(page.text[page.text.index("Parameters") :], "") for name in CONTRACT.names)


def test_the_page_fits_a_phone_open_and_folded_light_and_dark(browser, second):
    page = render_report(second.material).decode()
    pages = [page, page.replace("<details>", "<details open>")]
    light, dark = browser.layouts(pages, PHONE), browser.layouts(pages, PHONE, is_dark=True)
    assert all(layout.fits for layout in [*light, *dark])
    assert light[0].height < light[1].height / 2
    assert light[0].background == "rgb(255, 255, 255)" != dark[0].background


def test_the_folded_page_is_printed_on_three_sheets_at_most(browser, second):
    page = render_report(second.material).decode()
    assert sheets(browser.printed(page)) <= 3 < sheets(browser.printed(page.replace("<details>", "<details open>")))
