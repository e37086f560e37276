"""What a check's event is about: the last materialization of the org's partition.

Without it, Dagster takes the check of a partition for one that was not run since the asset was materialized.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

Target = AssetCheckEvaluationTargetMaterializationData


def last_materialization(instance: dg.DagsterInstance, key: dg.AssetKey, org_id: str) -> Target | None:
    """Return the last materialization of the org's partition; None before the first."""
    of_the_org = dg.AssetRecordsFilter(key, asset_partitions=[org_id])
    records = instance.fetch_materializations(of_the_org, limit=1).records
    return (
        Target(storage_id=records[0].storage_id, run_id=records[0].run_id, timestamp=records[0].timestamp)
        if records
        else None
    )


def of_last_materialization(instance: dg.DagsterInstance, check: dg.AssetCheckEvaluation) -> dg.AssetCheckEvaluation:
    """Return the result of a partition's check as one of the partition's last materialization."""
    return about_materialization(check, last_materialization(instance, check.asset_key, check.partition or ""))


def about_materialization(check: dg.AssetCheckEvaluation, target: Target | None) -> dg.AssetCheckEvaluation:
    """Return the result of a check as one of the materialization `target`."""
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.check_name,
        passed=check.passed,
        metadata=check.metadata,
        target_materialization_data=target,
        severity=check.severity,
        description=check.description,
        blocking=check.blocking,
        partition=check.partition,
    )
