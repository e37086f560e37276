"""An org's versions over time, from the registry, because Dagster plots figures across orgs only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from leadscore.comparison import Estimate
from leadscore.errors import Damaged
from leadscore.registry.store import Registry

MOST_VERSIONS = 24
NOT_JUDGED, DAMAGED = "not judged", "damaged"


@dataclass(frozen=True)
class PastVersion:
    """A version with its figures, which are None when it is damaged or was not judged.

    `roc_auc` and `brier_score` have intervals, of width 0 when the release that judged the version stored none.
    `decision` is the gate's verdict, NOT_JUDGED or DAMAGED. Versions of the same `fingerprint` were judged on the same
    held-out leads.
    """

    version: str
    decision: str
    is_active: bool
    as_of: datetime | None = None
    records: int | None = None
    roc_auc: Estimate | None = None
    brier_score: Estimate | None = None
    fingerprint: str = ""
    is_withheld: bool = False

    @property
    def decision_in_words(self) -> str:
        """The decision, and whether the version was only tried, or is older than the version that was active."""
        return f"{self.decision}, withheld" if self.is_withheld else self.decision


def past_versions(registry: Registry, org_id: str, activated: str | None = None) -> list[PastVersion]:
    """Return the org's last MOST_VERSIONS versions, oldest first.

    `activated` is the version that the run will make active, None for one that leaves the active version as it is.
    """
    pointer = registry.active(org_id)
    active = activated or (pointer.version if pointer else None)
    newest = registry.versions(org_id)[:MOST_VERSIONS]
    return [_past(registry, org_id, version, is_active=version == active) for version in reversed(newest)]


def _past(registry: Registry, org_id: str, version: str, *, is_active: bool) -> PastVersion:
    try:
        manifest, judgement = registry.manifest(org_id, version), registry.judgement(org_id, version)
    except Damaged:
        return PastVersion(version, DAMAGED, is_active)
    as_of, records = manifest.window.as_of, manifest.counts.records
    if judgement is None:
        return PastVersion(version, NOT_JUDGED, is_active, as_of, records)
    metrics, comparison = judgement.report.metrics, judgement.comparison
    return PastVersion(
        version=version,
        decision=judgement.decision.verdict,
        is_active=is_active,
        as_of=as_of,
        records=records,
        roc_auc=comparison.roc_auc.candidate if comparison else _point(metrics.roc_auc),
        brier_score=comparison.brier_score.candidate if comparison else _point(metrics.brier_score),
        fingerprint=manifest.counts.fingerprint,
        is_withheld=bool(judgement.withheld),
    )


def _point(figure: float | None) -> Estimate | None:
    return None if figure is None else Estimate(figure, figure, figure)


def table_rows(versions: Sequence[PastVersion]) -> list[tuple[str, ...]]:
    """Return the versions as texts, newest first: version, as of, records, ROC-AUC, Brier score, decision, active."""
    return [
        (
            past.version,
            past.as_of.strftime("%Y-%m-%d") if past.as_of else "",
            "" if past.records is None else f"{past.records:,}",
            _text_of(past.roc_auc),
            _text_of(past.brier_score),
            past.decision_in_words,
            "active" if past.is_active else "",
        )
        for past in reversed(versions)
    ]


def _text_of(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    interval = f" ({estimate.low:.3f} to {estimate.high:.3f})" if estimate.high > estimate.low else ""
    return f"{estimate.value:.3f}{interval}"
