"""Which partitions exist, from one query for each request.

Dagster asks its database for one key after the other while it counts the partitions of a check. For a thousand orgs,
the page then took some seconds.
"""

from __future__ import annotations

from functools import cached_property

import dagster as dg
from dagster._core.instance.types import CachingDynamicPartitionsLoader
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from starlette.requests import HTTPConnection


class PartitionKeys(CachingDynamicPartitionsLoader):
    """The keys of a request's partitions."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        super().__init__(instance)
        self._keys: dict[str, frozenset[str]] = {}

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Return whether there is a partition with this key."""
        if partitions_def_name not in self._keys:
            self._keys[partitions_def_name] = frozenset(self.get_dynamic_partitions(partitions_def_name))
        return partition_key in self._keys[partitions_def_name]


class RequestContext(WorkspaceRequestContext):
    """What Dagster's pages know while they answer a request."""

    @cached_property
    def dynamic_partitions_loader(self) -> CachingDynamicPartitionsLoader:
        """Where Dagster looks for partitions."""
        return PartitionKeys(self.instance)


def request_context(
    process: WorkspaceProcessContext, request: HTTPConnection, *, is_read_only: bool
) -> WorkspaceRequestContext:
    """Return the context of one request, as Dagster makes it but for `PartitionKeys`."""
    return RequestContext(
        instance=process.instance,
        current_workspace=process.get_current_workspace(),
        process_context=process,
        version=process.version,
        source=request,
        read_only=is_read_only,
    )
