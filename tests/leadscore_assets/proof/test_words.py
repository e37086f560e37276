"""What the figures mean is said with numbers, and an alarm names the version that did better, with the call."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import numpy as np
import pytest

from leadscore.comparison import Estimate
from leadscore.live_performance import Evidence, LivePerformance, LiveState, VersionOutcomes
from leadscore_assets.proof.judged_scores import Judged
from leadscore_assets.proof.quality import outcomes_of, quality_of
from leadscore_assets.proof.words import better_version, said

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def scores(leads: int = 100, promised: float = 0.4, converted: int = 10) -> Judged:
    lead, texts = np.arange(leads), np.full(leads, "v1")
    days = np.datetime64("2026-01-01") + np.arange(leads) // 10
    nothing = np.full(leads, np.nan)
    return Judged(
        lead,
        np.zeros(leads, int),
        np.zeros(leads, np.int64),
        days,
        days.astype("datetime64[us]"),
        np.full(leads, promised),
        texts,
        texts,
        texts,
        texts,
        nothing,
        texts,
        nothing,
        lead < converted,
    )


def figures(state: LiveState, **more: object) -> LivePerformance:
    return LivePerformance(org_id="acme", as_of=AS_OF, state=state, in_words="", **more)  # type: ignore[arg-type]


def shadow(version: str, gain: Estimate, verdict: str = "activate") -> VersionOutcomes:
    rows = scores()
    return VersionOutcomes(
        version=version,
        scope="own",
        role="shadow",
        first_said=date(2026, 1, 1),
        last_said=date(2026, 2, 1),
        rows=100,
        outcomes=outcomes_of(rows.probability, rows.is_converted),
        quality=quality_of(rows.probability, rows.is_converted, rows.lead),
        verdict=verdict,
        gain=gain,
    )


def test_what_comes_true_is_said_with_its_interval() -> None:
    found = said(figures("fine"), scores(converted=40), None)
    assert found.in_words == (
        "What was promised comes true: 40% of 100 leads converted (31% to 50% allowing for chance), 40% were promised."
    )
    assert found.remedy == ""


def test_an_alarm_says_what_is_wrong_since_when_and_how_sure_that_is() -> None:
    alarm = figures("alarm", evidence=Evidence(80, np.log(2_000), "too_high", date(2026, 1, 3)))
    assert said(alarm, scores(), None).in_words == (
        "What was promised does not come true. Of the leads created since 3 January 2026, fewer convert than was"
        " promised: 0% of 80 leads converted (0% to 5% allowing for chance), 40% were promised. Were the promises"
        " right, outcomes like these would ever be seen in one of 2,000 orgs."
    )


@pytest.mark.parametrize(
    ("day", "text"),
    [(date(2026, 8, 3), "There will be enough around 3 August 2026."), (None, "so no day can be told")],
)
def test_a_young_org_is_told_when(day: date | None, text: str) -> None:
    assert text in said(figures("too_young", judgeable_on=day), scores(), None).in_words


def test_a_few_leads_recommend_no_version() -> None:
    few = shadow("20260301000000", Estimate(0.2, 0.2, 0.2))
    few = msgspec.structs.replace(few, outcomes=msgspec.structs.replace(few.outcomes, leads=49))
    assert better_version(figures("alarm", versions=[few]), None) is None


def test_the_version_that_did_better_is_named_with_the_call() -> None:
    alarm = figures("alarm", evidence=Evidence(80, 8.0, "too_high", None))
    assert "no other version is known to do better" in said(alarm, scores(), None).remedy
    versions = [
        shadow("20260301000000", Estimate(0.02, 0.01, 0.03)),
        shadow("20260201000000", Estimate(0.05, 0.02, 0.08), "hold"),
        shadow("20260101000000", Estimate(0.09, -0.01, 0.19)),
    ]
    alarm = msgspec.structs.replace(alarm, versions=versions)
    assert better_version(alarm, None) == versions[1]
    assert better_version(alarm, versions[1].version) == versions[0]
    remedy = said(alarm, scores(), None).remedy
    assert "its Brier score is lower by 0.050 (0.020 to 0.080)" in remedy
    body = remedy[remedy.index("{") :]
    assert msgspec.json.decode(body) == {
        "org_id": "acme",
        "version": "20260201000000",
        "reason": "it did better",
        "force": True,
    }
