"""An org's versions and the decisions about them as one list, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from leadscore.errors import Damaged
from leadscore.gate import Judgement
from leadscore.registry.store import REPORT_FILE, History, Pointer, Registry, Withdrawal
from leadscore.registry.version import Manifest

MOST_VERSIONS = 24
_JUDGED = {"activate": "passed the gate", "hold": "was held", "refuse": "was refused"}


class Event(NamedTuple):
    """What happened to a version: `tone` is a verdict or empty, `details` are sentences, `by` says who did it."""

    at: datetime
    title: str
    tone: str
    details: list[str]
    by: str = ""
    version: str = ""
    has_report: bool = False


class _Judged(NamedTuple):
    version: str
    manifest: Manifest
    judgement: Judgement | None
    is_removed: bool


def timeline(registry: Registry, org_id: str, history: History, versions: list[str]) -> list[Event]:
    """Return what happened to the org's newest versions, newest first; `versions` are its versions in that order."""
    shown, events = versions[:MOST_VERSIONS], list[Event]()
    judged: dict[str, _Judged] = {}
    for version in shown:
        try:
            manifest, judgement = registry.manifest(org_id, version), registry.judgement(org_id, version)
            is_removed = registry.removal(org_id, version) is not None
        except Damaged as error:
            events.append(_damaged(version, error))
            continue
        judged[version] = _Judged(version, manifest, judgement, is_removed)
    first = min(shown, default="")
    activations = [entry for entry in history.entries if isinstance(entry, Pointer)]
    by_the_gate = {entry.version for entry in activations if _is_by_the_gate(entry, judged)}
    events += [_judged(found) for found in judged.values() if found.version not in by_the_gate]
    events += [event for event in _acts(history, judged) if not event.version or event.version >= first]
    return sorted(events, key=lambda event: event.at, reverse=True)


def _is_by_the_gate(entry: Pointer, judged: dict[str, _Judged]) -> bool:
    """Return whether a version became active because it passed: then its activation tells how it was judged, too."""
    found = judged.get(entry.version)
    return found is not None and found.judgement is not None and found.judgement.decision.text == entry.reason


def _acts(history: History, judged: dict[str, _Judged]) -> Iterator[Event]:
    """Yield each activation, rollback and withdrawal; an activation by the gate has its reasons."""
    for entry in history.entries:
        if isinstance(entry, Withdrawal):
            title = f"Version {entry.withdrawn.version} was withdrawn" if entry.withdrawn else "The org was withdrawn"
            yield Event(datetime.fromisoformat(entry.withdrawn_at), title, "refuse", [entry.reason], entry.by)
            continue
        found, is_by_the_gate = judged.get(entry.version), _is_by_the_gate(entry, judged)
        yield Event(
            at=datetime.fromisoformat(entry.activated_at),
            title=f"Version {entry.version} became active" + ("" if is_by_the_gate else " by a rollback"),
            tone="activate",
            details=_details(found) if found and is_by_the_gate else [entry.reason],
            by=entry.by,
            version=entry.version,
            has_report=found is not None and _has_report(found),
        )


def _judged(found: _Judged) -> Event:
    """Return that a version was judged or, while it is not, that it was trained."""
    judgement = found.judgement
    return Event(
        at=datetime.fromisoformat(judgement.judged_at if judgement else found.manifest.created_at),
        title=f"Version {found.version} {_JUDGED[judgement.decision.verdict] if judgement else 'was trained'}",
        tone=judgement.decision.verdict if judgement and not judgement.withheld else "",
        details=_details(found),
        version=found.version,
        has_report=_has_report(found),
    )


def _details(found: _Judged) -> list[str]:
    counts = found.manifest.counts
    trained = f"Trained and judged on {counts.records:,} leads, {counts.converted_records:,} of them converted."
    if found.judgement is None:
        return [trained]
    return [trained, *(reason.text for reason in (*found.judgement.withheld, *found.judgement.decision.reasons))]


def _has_report(found: _Judged) -> bool:
    return found.judgement is not None and REPORT_FILE in found.judgement.files and not found.is_removed


def _damaged(version: str, error: Damaged) -> Event:
    """Return that a version cannot be read, at the time that its id names."""
    at = datetime.strptime(f"{version}+0000", "%Y%m%d%H%M%S%z")
    return Event(at, f"Version {version} cannot be read", "refuse", [error.message], version=version)
