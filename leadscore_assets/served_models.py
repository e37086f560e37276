"""What `active_model` shows of an org: which model scores its leads, since when, by whom and why.

The asset itself shows it after a run. The sensor `report_active_versions` shows what changed otherwise: a rollback, a
withdrawal, a restored registry, or another version of the pooled model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import dagster as dg

from leadscore.errors import Damaged
from leadscore.registry.active_model import ActiveModel, active_model
from leadscore.registry.store import Pointer, Registry, Withdrawal
from leadscore.settings import Settings
from leadscore_assets.metadata.figures import version_links
from leadscore_assets.training.provenance import code_version

NONE = "none"
KEY = dg.AssetKey("active_model")
# Dagster documents these tags, and exports no names for them
DATA_VERSION_TAG, CODE_VERSION_TAG = "dagster/data_version", "dagster/code_version"
INPUT_VERSION_TAG, INPUT_EVENT_TAG, NO_EVENT = "dagster/input_data_version", "dagster/input_event_pointer", "NULL"
RUN = "run "


@dataclass(frozen=True)
class Served:
    """The model that scores an org's leads, None when there is none, and the withdrawal of the org's own version."""

    org_id: str
    model: ActiveModel | None
    withdrawal: Withdrawal | None = None

    @property
    def version(self) -> str:
        """The version that scores the org's leads, whoever's it is."""
        return self.model.pointer.version if self.model else NONE

    @property
    def data_version(self) -> str:
        """The data version of `active_model`: the org's own version, `pooled:<version>`, or `none`."""
        return f"pooled:{self.version}" if self.is_pooled else self.version

    @property
    def is_pooled(self) -> bool:
        """Whether the pooled model stands in for a model of the org's own."""
        return self.model is not None and self.model.owner != self.org_id

    @property
    def activating_run(self) -> str | None:
        """The id of the run that made the org's own version active; None when something else did."""
        by = self.model.pointer.by if self.model and not self.is_pooled else ""
        return by.removeprefix(RUN) if by.startswith(RUN) else None

    @property
    def in_words(self) -> str:
        """What scores the org's leads, in a sentence."""
        if self.model is None:
            why = "its own was withdrawn" if self.withdrawal else "it has no active version"
            return f"No model scores the org's leads, because {why}"
        whose = "The pooled model's version" if self.is_pooled else "Version"
        return f"{whose} {self.version} scores the org's leads"

    def metadata(self, settings: Settings) -> dict[str, str | dg.MetadataValue]:
        """Return what is served, with who made it so, when and why, and links to the version."""
        shown: dict[str, str | dg.MetadataValue] = {
            "version": self.version,
            "model_scope": self.model.scope if self.model else NONE,
            "served": self.in_words,
        }
        if self.model:
            shown |= _pointer_metadata(self.model.pointer)
            shown |= version_links(settings, self.model.owner, self.version)
        if self.withdrawal:
            shown |= _withdrawal_metadata(self.withdrawal)
        return shown


def _pointer_metadata(pointer: Pointer) -> dict[str, str]:
    return {
        "previous_version": pointer.previous or NONE,
        "activated_at": pointer.activated_at,
        "by": pointer.by,
        "activation_reason": pointer.reason,
    }


def _withdrawal_metadata(withdrawal: Withdrawal) -> dict[str, str]:
    return {
        "withdrawn_version": withdrawal.withdrawn.version if withdrawal.withdrawn else NONE,
        "withdrawn_at": withdrawal.withdrawn_at,
        "withdrawn_by": withdrawal.by,
        "withdrawal_reason": withdrawal.reason,
    }


def served_model(settings: Settings, registry: Registry, org_id: str, log: logging.Logger) -> Served:
    """Return what scores the org's leads. Raises Damaged when the org's own pointer cannot be read.

    That the pooled model cannot score is no fault of the org, whose leads nothing scores meanwhile.
    """
    present = registry.present(org_id)
    own = present if isinstance(present, Pointer) else None
    withdrawal = present if isinstance(present, Withdrawal) else None

    def pointer_of(owner: str) -> Pointer | None:
        return own if owner == org_id else registry.active(owner)

    try:
        return Served(org_id, active_model(org_id, pointer_of, is_pooling=settings.pooled_model), withdrawal)
    except Damaged as error:
        log.warning("the pooled model cannot score the org's leads: %s", error.message)
        return Served(org_id, None, withdrawal)


def changes(
    settings: Settings, registry: Registry, instance: dg.DagsterInstance, org_ids: Iterable[str], log: logging.Logger
) -> list[Served]:
    """Return the orgs of which `active_model` last showed something else than what scores their leads now.

    What Dagster shows is asked once for all orgs, and before the pointers are read. A run that made a version active
    shows it itself, so it is left alone until it has ended. An org whose pointer is damaged is left out, with a
    warning.
    """
    org_ids = list(org_ids)
    shown = shown_data_versions(instance, KEY, org_ids)
    found = [served for served in _served(settings, registry, org_ids, log) if _is_news(served, shown)]
    if not found:
        return []
    shown = shown_data_versions(instance, KEY, [served.org_id for served in found])  # a run may have ended meanwhile
    return [served for served in found if _is_news(served, shown) and not _is_under_way(instance, served)]


def _served(settings: Settings, registry: Registry, org_ids: Iterable[str], log: logging.Logger) -> Iterator[Served]:
    for org_id in org_ids:
        try:
            yield served_model(settings, registry, org_id, log)
        except Damaged as error:
            log.warning("what scores the leads of %s is not known: %s", org_id, error.message)


def shown_data_versions(instance: dg.DagsterInstance, key: dg.AssetKey, org_ids: list[str]) -> Mapping[str, str]:
    """Return the data version that Dagster last showed of the asset, for each org that has one."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG], org_ids
    )
    return {org_id: of_org[DATA_VERSION_TAG] for org_id, of_org in tags.items()}


def _is_news(served: Served, shown: Mapping[str, str]) -> bool:
    return shown.get(served.org_id, NONE) != served.data_version


def _is_under_way(instance: dg.DagsterInstance, served: Served) -> bool:
    run = instance.get_run_by_id(served.activating_run) if served.activating_run else None
    return run is not None and not run.is_finished


def version_tags(data_version: str, made_from: Mapping[dg.AssetKey, str]) -> dict[str, str]:
    """Return the tags of a materialization that no step makes: without all of them, Dagster takes it for stale.

    `made_from` has the data versions of the assets that it was made from.
    """
    tags = {DATA_VERSION_TAG: data_version, CODE_VERSION_TAG: code_version()}
    for upstream, upstream_data_version in made_from.items():
        name = upstream.to_user_string()
        tags |= {f"{INPUT_VERSION_TAG}/{name}": upstream_data_version, f"{INPUT_EVENT_TAG}/{name}": NO_EVENT}
    return tags


def report_of(settings: Settings, served: Served) -> dg.AssetMaterialization:
    """Return the event by which `active_model` shows what was not changed by a run of it."""
    return dg.AssetMaterialization(
        asset_key=KEY,
        partition=served.org_id,
        description=f"{served.in_words}. This was not a result of a run; the metadata say who did it, and why.",
        metadata=served.metadata(settings),
        tags={DATA_VERSION_TAG: served.data_version},
    )
