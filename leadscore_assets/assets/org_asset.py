"""org_asset: the settings that all assets share, such as their partitions and their code version."""

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
    """Return a decorator that makes an asset with one partition per org. `stage` is `data`, `model` or `serving`.

    Its code version covers all code of the pipeline, because any change may change the result. After a change Dagster
    shows the partitions as made by other code.
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
