"""Dagster's partitions: one per org of the CRM, and one for the pooled model. The sensor updates them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import dagster as dg

from leadscore.errors import InvalidId
from leadscore.registry.ids import check_crm_org_id

orgs = dg.DynamicPartitionsDefinition(name="orgs")


def valid_org_ids(org_ids: Iterable[str], log: logging.Logger) -> list[str]:
    """Return the org ids that can be partition keys, and log how many cannot, and why."""
    valid, fault, invalid = list[str](), None, 0
    for org_id in org_ids:
        try:
            valid.append(check_crm_org_id(org_id))
        except InvalidId as error:
            fault, invalid = error, invalid + 1
    if fault:
        log.warning("left out %d orgs whose ids are not valid: %s", invalid, fault.message)
    return valid
