"""org_asset: what all assets have in common, from their partitions to the version of their code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from leadscore_assets.partitions import orgs
from leadscore_assets.training.provenance import code_version

GROUP = "leadscore"
OWNERS = ["team:leadscore"]


def org_asset(
    stage: str, kinds: set[str], metadata: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Return the decorator of an asset with a partition per org. `stage` is `data`, `model` or `serving`.

    Its code's version is that of all our code: any change may change what it makes, and Dagster then shows its
    partitions as made by other code.
    """
    return dg.asset(
        partitions_def=orgs,
        group_name=GROUP,
        owners=OWNERS,
        kinds=kinds,
        tags={"stage": stage},
        code_version=code_version(),
        metadata=metadata,
    )
