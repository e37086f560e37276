"""One org's training, as both lanes do it: what each of its five steps gets, and what it makes.

A run of one org has a step for each asset. A run of many orgs does the steps of one org after the other within one step
of its own. Both call the same functions, so Dagster shows the same of an org after either.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dagster as dg

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.metadata.figures import without_tables
from leadscore_assets.resources import Crm
from leadscore_assets.served_models import version_tags

Value = TypeVar("Value")


@dataclass(frozen=True)
class OrgTraining:
    """The training of one org in one run.

    `registry` asks the run's claim on the org before each change.
    """

    org_id: str
    run_id: str
    settings: Settings
    registry: Registry
    log: logging.Logger

    @property
    def crm(self) -> Crm:
        """The CRM that has the org's leads."""
        return Crm(self.settings)


@dataclass(frozen=True)
class Made(Generic[Value]):
    """What a step made: the asset's value, its metadata, and its data version, which tells it from others."""

    value: Value
    metadata: Mapping[str, Any]
    data_version: str

    def result(self) -> dg.MaterializeResult[Value]:
        """Return what the step of an asset returns to Dagster."""
        return dg.MaterializeResult(
            value=self.value, metadata=self.metadata, data_version=dg.DataVersion(self.data_version)
        )

    def event(self, key: dg.AssetKey, org_id: str, made_from: Mapping[dg.AssetKey, str]) -> dg.AssetMaterialization:
        """Return the same as an event of its own. `made_from` has the data versions of what it was made from.

        Tables and pictures are left out: those of many orgs would fill Dagster's database, and the version's report
        shows more.
        """
        return dg.AssetMaterialization(
            asset_key=key,
            partition=org_id,
            metadata=without_tables(self.metadata),
            tags=version_tags(self.data_version, made_from),
        )
