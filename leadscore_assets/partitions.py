"""The orgs, as Dagster partitions: one per org of the CRM, kept in step by the sensor."""

from __future__ import annotations

import dagster as dg

orgs = dg.DynamicPartitionsDefinition(name="orgs")
