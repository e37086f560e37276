"""The queries behind Dagster's pages of assets, partitions, runs and checks: in substance those that they send."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import urllib3

RUN = "runId runOrError { ... on Run { id status startTime } }"
ENTRIES = "metadataEntries { __typename label description ... on TextMetadataEntry { text } }"
EXECUTION = f"id runId status timestamp evaluation {{ severity timestamp description {ENTRIES} }}"
STATUSES = "... on DefaultPartitionStatuses { materializedPartitions materializingPartitions failedPartitions }"
CHECK_STATUSES = (
    "... on AssetCheckDefaultPartitionStatuses { succeededPartitions failedPartitions inProgressPartitions"
    " skippedPartitions executionFailedPartitions }"
)
ASSETS = (
    *("conversion_records", "lead_features", "trained_model", "evaluation", "active_model", "lead_scores"),
    "live_performance",
)

PAGES = {
    "lineage: what is latest": """query Q($keys: [AssetKeyInput!]!) {
  assetNodes(assetKeys: $keys, loadMaterializations: true) {
    id
    assetMaterializations(limit: 1) { timestamp runId stepKey }
    partitionStats { numMaterialized numMaterializing numPartitions numFailed }
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { id status } } } }
  }
  assetsLatestInfo(assetKeys: $keys) { id latestRun { id status } unstartedRunIds inProgressRunIds }
}""",
    "lineage: health": """query Q($keys: [AssetKeyInput!]!) {
  assetsOrError(assetKeys: $keys) { ... on AssetConnection { nodes {
    id latestMaterializationTimestamp assetHealth { assetHealth materializationStatus assetChecksStatus }
  } } }
}""",
    "asset: events": f"""query Q($key: AssetKeyInput!) {{
  assetOrError(assetKey: $key) {{ ... on Asset {{ id assetEventHistory(
    limit: 50, eventTypeSelectors: [MATERIALIZATION, OBSERVATION, FAILED_TO_MATERIALIZE]
  ) {{ cursor results {{ __typename ... on MaterializationEvent {{ partition timestamp {RUN} {ENTRIES} }} }} }} }} }}
}}""",
    "asset: partitions": f"""query Q($key: AssetKeyInput!) {{
  assetNodeOrError(assetKey: $key) {{ ... on AssetNode {{
    id partitionKeysByDimension {{ name partitionKeys }} assetPartitionStatuses {{ {STATUSES} }}
  }} }}
}}""",
    "asset: one partition": f"""query Q($key: AssetKeyInput!, $partition: String!) {{
  assetOrError(assetKey: $key) {{ ... on Asset {{
    id
    definition {{ id latestRunForPartition(partition: $partition) {{ id status endTime }} }}
    assetEventHistory(
      partitions: [$partition], limit: 1000, eventTypeSelectors: [MATERIALIZATION, OBSERVATION, FAILED_TO_MATERIALIZE]
    ) {{ results {{ ... on MaterializationEvent {{ partition timestamp {RUN} {ENTRIES} }} }} }}
  }} }}
}}""",
    "asset: plots": f"""query Q($key: AssetKeyInput!) {{
  assetOrError(assetKey: $key) {{ ... on Asset {{ id assetMaterializations(limit: 100) {{
    partition timestamp runId {ENTRIES} }} }} }}
}}""",
    "asset: checks": f"""query Q($key: AssetKeyInput!) {{
  assetNodeOrError(assetKey: $key) {{ ... on AssetNode {{
    id assetChecksOrError {{ ... on AssetChecks {{ checks {{
      name description executionForLatestMaterialization {{ {EXECUTION} }}
    }} }} }}
  }} }}
}}""",
    "check: history": f"""query Q($key: AssetKeyInput!, $check: String!) {{
  assetCheckExecutions(assetKey: $key, checkName: $check, limit: 25) {{ {EXECUTION} }}
}}""",
    "check: partitions": f"""query Q($key: AssetKeyInput!, $check: String!) {{
  assetNodeOrError(assetKey: $key) {{ ... on AssetNode {{ id assetCheckOrError(checkName: $check) {{
    ... on AssetCheck {{ name partitionKeysByDimension {{ partitionKeys }} partitionStatuses {{ {CHECK_STATUSES} }} }}
  }} }} }}
}}""",
    "check: one partition": f"""query Q($key: AssetKeyInput!, $check: String!, $partition: String!) {{
  assetCheckExecutions(assetKey: $key, checkName: $check, limit: 25, partition: $partition) {{ {EXECUTION} }}
}}""",
    "runs": """query Q {
  runsFeedOrError(limit: 30, view: ROOTS) { ... on RunsFeedConnection { cursor hasMore results {
    id runStatus creationTime startTime endTime jobName tags { key value }
    ... on Run { assetSelection { path } assetCheckSelection { name } }
  } } }
}""",
    "runs: of a job": """query Q {
  runsFeedOrError(limit: 30, view: RUNS, filter: { pipelineName: "train_orgs" }) {
    ... on RunsFeedConnection { cursor hasMore results { id runStatus creationTime jobName } }
  }
}""",
}


class Taken(NamedTuple):
    """How long a page's query took, and of which asset it is; the first time and the best of the others."""

    page: str
    asset: str
    first_seconds: float
    again_seconds: float


def time_pages(address: str, token: str, partition: str, repeats: int = 3) -> Iterator[Taken]:
    """Ask for each page of a monthly asset and of a daily one."""
    http = urllib3.PoolManager(headers={"Authorization": f"Bearer {token}"}, timeout=120.0, retries=False)
    keys = [{"path": [name]} for name in ASSETS]
    for page, query in PAGES.items():
        for asset, check in _subjects(query):
            variables = {"keys": keys, "key": {"path": [asset]}, "check": check, "partition": partition}
            used = {name: value for name, value in variables.items() if f"${name}:" in query}
            seconds = [_seconds(http, address, query, used) for _ in range(1 + repeats)]
            yield Taken(page, asset, seconds[0], min(seconds[1:]))


def _subjects(query: str) -> tuple[tuple[str, str], ...]:
    if "$key:" not in query:
        return (("", ""),)
    return ("evaluation", "metrics_improve"), ("lead_scores", "scores_are_fresh")


def _seconds(http: urllib3.PoolManager, address: str, query: str, variables: dict[str, Any]) -> float:
    started = time.perf_counter()
    answer = http.request("POST", f"{address}/graphql", json={"query": query, "variables": variables})
    seconds = time.perf_counter() - started
    found = answer.json()
    if answer.status != 200 or "errors" in found:
        raise RuntimeError(f"Dagster answered {answer.status}: {str(found.get('errors'))[:500]}")
    return seconds
