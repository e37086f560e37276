"""The GraphQL that the server sends to Dagster's webserver; the tests check it against the installed release."""

VERSION = "query Version { version }"

STATE = """
query State($asset: AssetKeyInput!) {
  version
  instance { daemonHealth { allDaemonStatuses { required lastHeartbeatTime } } }
  workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } }
  orgs_have_leads: assetCheckExecutions(assetKey: $asset, checkName: "orgs_have_leads", limit: 1) { ...result }
  orgs_keep_their_leads: assetCheckExecutions(assetKey: $asset, checkName: "orgs_keep_their_leads", limit: 1) {
    ...result
  }
  leads_are_in_crm: assetCheckExecutions(assetKey: $asset, checkName: "leads_are_in_crm", limit: 1) { ...result }
}
fragment result on AssetCheckExecution { evaluation { success } }"""

_METADATA = "metadataEntries { label ... on TextMetadataEntry { text } }"

ACTIVE_RUNS = """
query ActiveRuns($filter: RunsFilter!) {
  runsOrError(filter: $filter, limit: 1) { ... on Runs { results { runId jobName } } }
}"""

QUEUED_RUNS = """
query QueuedRuns($filter: RunsFilter!, $limit: Int!) {
  runsOrError(filter: $filter, limit: $limit) { ... on Runs { results { runId } } }
}"""

ADD_PARTITION = """
mutation AddPartition($repository: RepositorySelector!, $partitions: String!, $key: String!) {
  addDynamicPartition(repositorySelector: $repository, partitionsDefName: $partitions, partitionKey: $key) {
    __typename
    ... on PythonError { message }
  }
}"""

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""

RUN = """
query Run($runId: ID!) {
  runOrError(runId: $runId) {
    __typename
    ... on Run { runId status jobName tags { key value } }
  }
}"""

MATERIALIZATIONS = f"""
query Materializations($runId: ID!) {{
  runOrError(runId: $runId) {{
    __typename
    ... on Run {{ assetMaterializations {{ assetKey {{ path }} {_METADATA} }} }}
  }}
}}"""

FAILURES = f"""
query Failures($runId: ID!, $cursor: String, $limit: Int!) {{
  runOrError(runId: $runId) {{
    __typename
    ... on Run {{
      eventConnection(afterCursor: $cursor, limit: $limit) {{
        cursor
        hasMore
        events {{
          __typename
          ... on ExecutionStepFailureEvent {{ stepKey failureMetadata {{ description {_METADATA} }} }}
        }}
      }}
    }}
  }}
}}"""
