"""The sensor that keeps the partitions in step with the CRM's orgs."""

import dagster as dg

from leadscore.pooling import POOLED
from leadscore_assets.partitions import orgs, valid_org_ids
from leadscore_assets.resources import Crm

INTERVAL_SECONDS = 60
# one request with tens of thousands of keys is more than SQLite takes in a statement
KEYS_AT_A_TIME = 1_000


@dg.sensor(
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds a partition for each org that has leads, and removes the partitions of orgs that no longer"
    " have any. With POOLED_MODEL, the pooled model has a partition, too.",
)
def follow_orgs(context: dg.SensorEvaluationContext, crm: dg.ResourceParam[Crm]) -> dg.SensorResult | dg.SkipReason:
    """Add and remove partitions; leave out org ids that cannot be partition keys, and log how many there are."""
    wanted = valid_org_ids(crm.orgs(), context.log)
    if crm.settings.pooled_model:
        wanted.append(POOLED)
    present = context.instance.get_dynamic_partitions(orgs.name or "")
    added, removed = sorted(set(wanted) - set(present)), sorted(set(present) - set(wanted))
    if not added and not removed:
        return dg.SkipReason(f"the partitions already match the CRM's {len(wanted)} orgs")
    requests = [orgs.build_add_request(part) for part in _parts(added)]
    return dg.SensorResult(
        dynamic_partitions_requests=[*requests, *(orgs.build_delete_request(part) for part in _parts(removed))]
    )


def _parts(keys: list[str]) -> list[list[str]]:
    return [keys[start : start + KEYS_AT_A_TIME] for start in range(0, len(keys), KEYS_AT_A_TIME)]
