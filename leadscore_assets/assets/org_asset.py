"""org_asset: the settings that all assets share, such as their partitions and code version, and who asked for a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import dagster as dg

from leadscore.run_tags import ASKER_TAG, DAGSTER_UI, ORG_TAG
from leadscore_assets.partitions import orgs
from leadscore_assets.training.provenance import code_version

GROUP = "leadscore"
OWNERS = ["team:leadscore"]


def org_asset(
    stage: str,
    kinds: set[str],
    metadata: Mapping[str, Any] | None = None,
    deps: Sequence[dg.AssetsDefinition] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Return a decorator that makes an asset with one partition per org. `stage` is `data`, `model` or `serving`.

    `deps` are assets that it follows without taking their values.

    Its code version covers all code of the pipeline, because any change may change the result. After a change Dagster
    shows the partitions as made by other code.
    """
    make = dg.asset(
        partitions_def=orgs,
        group_name=GROUP,
        owners=OWNERS,
        kinds=kinds,
        tags={"stage": stage},
        code_version=code_version(),
        metadata=metadata,
        deps=deps,
    )

    def asset(body: Callable[..., Any]) -> dg.AssetsDefinition:
        @wraps(body)
        def tagged(context: dg.AssetExecutionContext, *arguments: Any, **named: Any) -> Any:
            tag_run(context)
            return body(context, *arguments, **named)

        return make(tagged)

    return asset


def tag_run(context: dg.AssetExecutionContext) -> None:
    """Tag the run with its org, and with Dagster's UI as the asker, unless whoever asked for it has done so.

    A run that the UI starts, or one of its backfills, has no tags of ours.
    """
    if ASKER_TAG not in context.run.tags:
        tags = {ORG_TAG: context.partition_key, ASKER_TAG: DAGSTER_UI}
        context.instance.add_run_tags(context.run.run_id, tags)
