"""What came true of an org's scores, made by hand for each state, and written as a proof leaves it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec

from leadscore.comparison import Estimate
from leadscore.live_performance import (
    Capacity,
    Evidence,
    Group,
    LivePerformance,
    LiveState,
    Outcomes,
    Quality,
    VersionOutcomes,
)
from leadscore.settings import Settings
from leadscore_assets.source.database import connect

AS_OF = datetime(2026, 6, 1, 5, tzinfo=UTC)
SERVED, HELD = "20260501020000", "20260508020000"
SAVE = """
INSERT INTO leadscore.live_performance (
    org_id, as_of, state, in_words, leads, promised, converted, log_e, judged_through, judgeable_on, alarmed_on,
    figures, is_listed
) VALUES (%s, %s, %s, %s, %s, %s, %s, 0, %s, %s, %s, %s::jsonb, %s)
"""
WORDS: dict[LiveState, str] = {
    "fine": "What was promised comes true: 25% of 420 leads converted (21% to 30% allowing for chance), 26% were"
    " promised.",
    "alarm": "What was promised does not come true. Of the leads created since 3 February 2026, fewer convert than was"
    " promised: 12% of 210 leads converted (8% to 17% allowing for chance), 26% were promised. Were the promises right,"
    " outcomes like these would ever be seen in one of 4,812 orgs.",
    "too_young": "20% of 15 leads converted (7% to 45% allowing for chance), 24% were promised, which is too few to"
    " judge. There will be enough around 14 September 2026.",
    "no_scores": "No lead of the org was scored yet.",
}
REMEDY = (
    f"Version {HELD} did better on the same leads: its Brier score is lower by 0.021 (0.006 to 0.036). Nothing is"
    " rolled back by itself; to serve it, send POST /api/v1/model/rollback"
    f' {{"org_id": "acme", "version": "{HELD}", "reason": "it did better", "force": true}}'
)


def figures_of(org_id: str = "acme", state: LiveState = "fine") -> LivePerformance:
    """Return the figures of an org in that state."""
    figures = LivePerformance(org_id=org_id, as_of=AS_OF, state=state, in_words=WORDS[state])
    if state == "no_scores":
        return figures
    figures = msgspec.structs.replace(figures, judged_through=date(2026, 3, 2))
    if state == "too_young":
        few = _outcomes(15, 0.24, 0.2, 0.07, 0.45)
        return msgspec.structs.replace(figures, judgeable_on=date(2026, 9, 14), overall=few)
    if state == "alarm":
        figures = msgspec.structs.replace(figures, remedy=REMEDY, alarmed_on=date(2026, 5, 3))
    return msgspec.structs.replace(figures, **_counted(rate=0.5 if state == "alarm" else 1.0))


def write_figures(connection: Any, figures: LivePerformance, *, is_listed: bool = False) -> None:
    """Let these be the figures of the org's last proof."""
    overall = figures.overall
    row = [
        *(figures.org_id, figures.as_of, figures.state, figures.in_words, overall.leads if overall else 0),
        *(overall.promised if overall else None, overall.converted.value if overall else None),
        *(figures.judged_through, figures.judgeable_on, figures.alarmed_on),
        *(msgspec.json.encode(figures).decode(), is_listed),
    ]
    connection.execute("DELETE FROM leadscore.live_performance WHERE org_id = %s", [figures.org_id])
    connection.execute(SAVE, row)


def proved(settings: Settings, *all_figures: LivePerformance, listed: tuple[str, ...] = ()) -> None:
    """Let these be the figures of the orgs' last proofs."""
    with connect(settings) as connection:
        for figures in all_figures:
            write_figures(connection, figures, is_listed=figures.org_id in listed)


def _counted(rate: float) -> dict[str, Any]:
    """Return what was counted where `rate` of what was promised came true."""
    overall, best = _outcomes(420, 0.256, 0.255 * rate), _outcomes(84, 0.52, 0.49 * rate)
    grades = {"A": best, "B": _outcomes(130, 0.31, 0.3 * rate), "C": _outcomes(126, 0.17, 0.18 * rate)}
    grades["D"] = _outcomes(80, 0.06, 0.05 * rate, 0.01, 0.12)
    months = {f"2026-0{month}": _outcomes(140, 0.25, (0.23 + 0.02 * month) * rate) for month in (1, 2, 3)}
    return {
        "evidence": Evidence(420, 8.5 if rate < 1 else -0.6, "too_high", date(2026, 2, 3) if rate < 1 else None),
        "overall": overall,
        "quality": _quality(0.164),
        "by_grade": [Group(name, outcomes) for name, outcomes in grades.items()],
        "by_month": [Group(name, outcomes) for name, outcomes in months.items()],
        "by_age": [Group("0 days", overall)],
        "capacity": Capacity("the best 40 new leads of each week", best, _outcomes(336, 0.19, 0.2 * rate)),
        "versions": _versions(overall),
    }


def _versions(overall: Outcomes) -> list[VersionOutcomes]:
    served = VersionOutcomes(
        version=SERVED,
        scope="own",
        role="served",
        first_said=date(2025, 12, 1),
        last_said=date(2026, 5, 31),
        rows=1310,
        outcomes=overall,
        quality=_quality(0.164),
        holdout_brier=0.159,
        holdout_roc_auc=0.76,
        verdict="activate",
    )
    shadow = {"version": HELD, "role": "shadow", "verdict": "hold", "quality": _quality(0.143)}
    pooled = {"version": "20251101020000", "scope": "pooled", "holdout_brier": None, "holdout_roc_auc": None}
    return [
        served,
        msgspec.structs.replace(served, verdict=None, **pooled),
        msgspec.structs.replace(served, gain=Estimate(0.021, 0.006, 0.036), **shadow),
    ]


def _quality(brier: float) -> Quality:
    return Quality(Estimate(brier, brier - 0.016, brier + 0.017), Estimate(0.74, 0.69, 0.79), 0.19)


def _outcomes(
    leads: int, promised: float, converted: float, low: float | None = None, high: float | None = None
) -> Outcomes:
    low, high = converted * 0.8 if low is None else low, converted * 1.2 if high is None else high
    return Outcomes(leads, promised, Estimate(converted, low, high))
