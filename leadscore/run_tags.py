"""The tags by which a run in Dagster says of which org it is and who asked for it, and how a caller says who it is."""

from __future__ import annotations

ORG_TAG = "leadscore/org"
ASKER_TAG = "leadscore/asked_by"
# a run that takes many orgs; its value is for people
SHARD_TAG = "leadscore/shard"

SCHEDULE, DAGSTER_UI = "schedule", "Dagster UI"

# the User-Agent of the trainings that a start of `make run` asks for over HTTP
START_AGENT = "leadscore-start"
