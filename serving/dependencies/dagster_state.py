"""The state of Dagster: its webserver, its code server, its daemon, and what it says of the CRM's orgs.

The webserver knows the code server by a connection that it watches, and the daemon by its heartbeats.
"""

from __future__ import annotations

from typing import Any

import msgspec

from serving.dependencies.probes import State

LOCATION = "leadscore"
# the daemon reports every 30 s; Dagster itself would only notice after half an hour
MAX_SILENT_SECONDS = 120.0
ASKED = {"asset": {"path": ["conversion_records"]}}
# the checks about all orgs, by which the query names its fields
CHECKS = ("orgs_have_leads", "orgs_keep_their_leads", "leads_are_in_crm")


class DagsterState(msgspec.Struct, frozen=True):
    """Which parts are up, and which of CHECKS fail."""

    webserver: State
    code_server: State = "unknown"
    daemon: State = "unknown"
    failed_checks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.webserver}, its code server {self.code_server}, its daemon {self.daemon}"


class _Graphql(msgspec.Struct, frozen=True, rename="camel"):
    """Base of what is read out of the answer."""


class _Daemon(_Graphql, frozen=True):
    required: bool
    last_heartbeat_time: float | None = None


class _DaemonHealth(_Graphql, frozen=True):
    all_daemon_statuses: list[_Daemon]


class _Instance(_Graphql, frozen=True):
    daemon_health: _DaemonHealth


class _Typed(_Graphql, frozen=True):
    typename: str = msgspec.field(name="__typename")


class _Entry(_Graphql, frozen=True):
    name: str
    location_or_load_error: _Typed | None = None


class _Workspace(_Graphql, frozen=True):
    location_entries: list[_Entry] = []


class _Evaluation(_Graphql, frozen=True):
    success: bool


class _Execution(_Graphql, frozen=True):
    evaluation: _Evaluation | None = None


class _Checks(msgspec.Struct, frozen=True):
    orgs_have_leads: list[_Execution]
    orgs_keep_their_leads: list[_Execution]
    leads_are_in_crm: list[_Execution]

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(name for name in CHECKS if any(map(_is_failed, getattr(self, name))))


class _Answer(_Graphql, frozen=True):
    instance: _Instance
    workspace_or_error: _Workspace


def state_from(data: Any, now_seconds: float) -> DagsterState:
    """Return the state that the answer to STATE tells. Raises msgspec.ValidationError when it has another shape."""
    answer = msgspec.convert(data, _Answer)
    oldest_seconds = now_seconds - MAX_SILENT_SECONDS
    daemons = [one for one in answer.instance.daemon_health.all_daemon_statuses if one.required]
    is_daemon_up = all((one.last_heartbeat_time or 0) >= oldest_seconds for one in daemons)
    return DagsterState(
        webserver="up",
        code_server="up" if any(map(_is_loaded, answer.workspace_or_error.location_entries)) else "down",
        daemon="up" if daemons and is_daemon_up else "down",
        failed_checks=msgspec.convert(data, _Checks).failed,
    )


def _is_failed(execution: _Execution) -> bool:
    return execution.evaluation is not None and not execution.evaluation.success


def _is_loaded(entry: _Entry) -> bool:
    found = entry.location_or_load_error
    return entry.name == LOCATION and found is not None and found.typename == "RepositoryLocation"
