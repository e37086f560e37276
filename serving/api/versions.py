"""Versions: describe the active one, rank its features, list all versions and activations, and roll back."""

from __future__ import annotations

import logging

from flask import Blueprint

from leadscore.errors import Damaged, Fault
from leadscore.gate import Judgement
from leadscore.registry.activation import roll_back
from leadscore.registry.store import REPORT_FILE, Pointer, Withdrawal
from leadscore.registry.version import Manifest
from serving.api.access import asker
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.problems import Refusal, invalid
from serving.api.schema import (
    ActivationEntry,
    ActivationsAnswer,
    ActivationsQuery,
    DecisionAnswer,
    ImportanceAnswer,
    ImportanceEntry,
    InfoAnswer,
    OrgQuery,
    RollbackAnswer,
    RollbackRequest,
    RunState,
    VersionEntry,
    VersionQuery,
    VersionsAnswer,
    VersionsQuery,
)
from serving.services import Services

ORIGINS = ("run_id", "records_fingerprint", "sql_sha256", "code_version")
MOST_LOOKED_AT = 1_000
DEFAULT_REASON = "rollback requested over HTTP"

routes = Blueprint("model", __name__, url_prefix="/api/v1/model")

_log = logging.getLogger(__name__)


@routes.get("/info")
@endpoint(
    {200: InfoAnswer},
    scope="read",
    query=VersionQuery,
    refusals={
        404: ("no_active_model", "version_not_found"),
        409: ("org_changed",),
        503: ("model_unavailable", "registry_unavailable"),
    },
)
def info(services: Services, query: VersionQuery) -> JsonResponse:
    """Return a version's quality and provenance; without `version`, the active version's."""
    registry = services.registry
    registry.check_same_customer(query.org_id)
    pointer = registry.active(query.org_id) if query.version else services.models.own_pointer(query.org_id)
    active = pointer if pointer and query.version in (None, pointer.version) else None
    version = query.version or (active.version if active else "")
    manifest = registry.manifest(query.org_id, version, active.manifest_sha256 if active else None)
    judgement = registry.judgement(query.org_id, version)
    return answer(_info(services, query.org_id, manifest, judgement, active), version=version)


@routes.get("/feature-importance")
@endpoint(
    {200: ImportanceAnswer},
    scope="read",
    query=OrgQuery,
    refusals={404: ("no_active_model",), 503: ("model_unavailable", "registry_unavailable")},
)
def feature_importance(services: Services, query: OrgQuery) -> JsonResponse:
    """Rank the active version's features by their mean absolute contribution."""
    pointer = services.models.own_pointer(query.org_id)
    manifest = services.registry.manifest(query.org_id, pointer.version, pointer.manifest_sha256)
    ranked = sorted(manifest.importance, key=lambda entry: -entry.importance)
    entries = [
        ImportanceEntry(feature=entry.feature, importance=entry.importance, rank=rank)
        for rank, entry in enumerate(ranked, start=1)
    ]
    importance = ImportanceAnswer(features=entries, model_version=pointer.version, org_id=query.org_id)
    return answer(importance, version=pointer.version)


@routes.get("/versions")
@endpoint(
    {200: VersionsAnswer},
    scope="read",
    query=VersionsQuery,
    refusals={409: ("org_changed",), 503: ("model_unavailable", "registry_unavailable")},
)
def versions(services: Services, query: VersionsQuery) -> JsonResponse:
    """List the org's versions, newest first, including held and refused ones.

    A run id, a records fingerprint, an SQL hash or a code version restricts the list to the versions that it made. Such
    a page may have fewer than `limit` versions; follow `next_cursor` until it is null.
    """
    services.registry.check_same_customer(query.org_id)
    found = services.registry.versions(query.org_id)
    rest = [version for version in found if query.cursor is None or version < query.cursor]
    entries, last = _page(services, query, rest[:MOST_LOOKED_AT])
    next_cursor = last if rest and last != rest[-1] else None
    return answer(VersionsAnswer(versions=entries, next_cursor=next_cursor, org_id=query.org_id))


@routes.get("/activations")
@endpoint(
    {200: ActivationsAnswer},
    scope="read",
    query=ActivationsQuery,
    refusals={409: ("org_changed",), 503: ("model_unavailable", "registry_unavailable")},
)
def activations(services: Services, query: ActivationsQuery) -> JsonResponse:
    """List every change of the org's active version, newest first: activations, rollbacks and withdrawals.

    The cursor stays valid, and its page the same, while further changes are made.
    """
    history = services.registry.history(query.org_id)
    history.check_same_customer(query.org_id)
    end = len(history.entries) if query.cursor is None else min(query.cursor, len(history.entries))
    start = max(0, end - query.limit)
    entries = [_activation(entry) for entry in reversed(history.entries[start:end])]
    return answer(ActivationsAnswer(activations=entries, next_cursor=start or None, org_id=query.org_id))


@routes.post("/rollback")
@endpoint(
    {200: RollbackAnswer},
    scope="activate",
    body=RollbackRequest,
    refusals={
        404: ("version_not_found",),
        409: ("not_activatable", "version_removed", "damaged", "another_registry", "org_changed"),
        412: ("active_version_moved",),
        422: ("invalid_request",),
        503: ("registry_unavailable", "registry_busy"),
    },
)
def rollback(services: Services, body: RollbackRequest) -> JsonResponse:
    """Make another version active. A version that did not pass the gate needs `force` and a reason."""
    if body.force and not body.reason.strip():
        raise invalid((Fault("/reason", "missing", "required with force"),), 422, "invalid_request")
    services.check_registry()
    try:
        pointer = roll_back(
            services.registry,
            body.org_id,
            body.version,
            by=asker(),
            reason=body.reason.strip() or DEFAULT_REASON,
            expected_active=body.expected_active,
            is_forced=body.force,
        )
    except Damaged as error:
        raise Refusal(409, "damaged", error.message) from error
    _log.warning("rolled back", extra={"version": pointer.version, "forced": body.force})
    return answer(
        RollbackAnswer(
            status="success",
            org_id=body.org_id,
            version=pointer.version,
            message=f"Successfully rolled back to version {pointer.version}",
        ),
        version=pointer.version,
    )


def _info(
    services: Services, org_id: str, manifest: Manifest, judgement: Judgement | None, active: Pointer | None
) -> InfoAnswer:
    run_state = _run_state(services, manifest.run_id)
    removed_at = _removed_at(services, org_id, manifest.version)
    has_report = judgement is not None and REPORT_FILE in judgement.files and removed_at is None
    return InfoAnswer(
        org_id=org_id,
        version=manifest.version,
        activated_at=active.activated_at if active else None,
        metrics=judgement.report.metrics if judgement else None,
        feature_names=manifest.contract.names,
        training_data_size=manifest.counts.records,
        is_active=active is not None,
        activated_by=active.by if active else None,
        activation_reason=active.reason if active else None,
        created_at=manifest.created_at,
        run_id=manifest.run_id,
        report_url=_report_url(services, org_id, manifest.version) if has_report else None,
        run_url=None if run_state == "gone" else services.settings.run_link(manifest.run_id),
        run_state=run_state,
        records_fingerprint=manifest.counts.fingerprint,
        sql_sha256=manifest.counts.sql_sha256,
        contract_fingerprint=manifest.contract_fingerprint,
        window=manifest.window,
        libraries=manifest.libraries,
        code_version=manifest.code_version,
        decision=_decision(judgement),
        stands_on=manifest.stands_on.version if manifest.stands_on else None,
        removed_at=removed_at,
    )


def _activation(entry: Pointer | Withdrawal) -> ActivationEntry:
    if isinstance(entry, Pointer):
        return ActivationEntry(
            at=entry.activated_at, previous=entry.previous, version=entry.version, by=entry.by, reason=entry.reason
        )
    withdrawn = entry.withdrawn.version if entry.withdrawn else None
    return ActivationEntry(at=entry.withdrawn_at, previous=withdrawn, version=None, by=entry.by, reason=entry.reason)


def _run_state(services: Services, run_id: str | None) -> RunState | None:
    """Return whether Dagster still has the run: a registry that was restored alone names runs that are gone."""
    if run_id is None:
        return None
    has_run = services.trainings.has_run(run_id)
    return "unknown" if has_run is None else "kept" if has_run else "gone"


def _report_url(services: Services, org_id: str, version: str) -> str:
    return services.settings.link("/api/v1/model/report", org_id=org_id, version=version)


def _entry(services: Services, org_id: str, version: str, pointer: Pointer | None) -> VersionEntry:
    """Return a version's entry in the list; when its files are damaged, `problem` says so."""
    is_active = pointer is not None and pointer.version == version
    try:
        manifest = services.registry.manifest(org_id, version)
        judgement = services.registry.judgement(org_id, version)
        removed_at = _removed_at(services, org_id, version)
    except Damaged as error:
        _log.warning("a version is damaged: %s", error.message, extra={"version": version})
        return VersionEntry(
            version=version,
            is_active=is_active,
            created_at=None,
            metrics=None,
            decision=None,
            training_data_size=None,
            run_id=None,
            records_fingerprint=None,
            sql_sha256=None,
            code_version=None,
            problem=error.message,
        )
    return VersionEntry(
        version=version,
        is_active=is_active,
        created_at=manifest.created_at,
        metrics=judgement.report.metrics if judgement else None,
        decision=_decision(judgement),
        training_data_size=manifest.counts.records,
        run_id=manifest.run_id,
        records_fingerprint=manifest.counts.fingerprint,
        sql_sha256=manifest.counts.sql_sha256,
        code_version=manifest.code_version,
        removed_at=removed_at,
    )


def _removed_at(services: Services, org_id: str, version: str) -> str | None:
    removal = services.registry.removal(org_id, version)
    return removal.removed_at if removal else None


def _page(services: Services, query: VersionsQuery, versions: list[str]) -> tuple[list[VersionEntry], str | None]:
    """Return up to `limit` entries that match the query, and the last version that was read."""
    pointer = services.registry.active(query.org_id)
    entries = []
    for version in versions:
        entry = _entry(services, query.org_id, version, pointer)
        if _is_made_by(entry, query):
            entries.append(entry)
        if len(entries) == query.limit:
            return entries, version
    return entries, versions[-1] if versions else None


def _is_made_by(entry: VersionEntry, query: VersionsQuery) -> bool:
    return all(getattr(query, origin) in (None, getattr(entry, origin)) for origin in ORIGINS)


def _decision(judgement: Judgement | None) -> DecisionAnswer | None:
    if judgement is None:
        return None
    return DecisionAnswer(
        verdict=judgement.decision.verdict,
        reasons=[reason.text for reason in judgement.decision.reasons],
        withheld=[reason.text for reason in judgement.withheld],
        notes=[note.text for note in judgement.decision.notes],
        judged_at=judgement.judged_at,
        champion_version=judgement.champion_version,
        comparison=judgement.comparison,
    )
