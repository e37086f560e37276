"""The orgs, as Dagster partitions: one per org of the CRM, one for the pooled model; the sensor keeps them in step."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import dagster as dg

from leadscore.errors import InvalidId
from leadscore.registry.ids import check_crm_org_id

orgs = dg.DynamicPartitionsDefinition(name="orgs")


def valid_org_ids(org_ids: Iterable[str], log: logging.Logger) -> list[str]:
    """Return the CRM's ids that may become partition keys, and log how many may not and why."""
    valid, fault, invalid = list[str](), None, 0
    for org_id in org_ids:
        try:
            valid.append(check_crm_org_id(org_id))
        except InvalidId as error:
            fault, invalid = error, invalid + 1
    if fault:
        log.warning("%d orgs left out: %s", invalid, fault.message)
    return valid
