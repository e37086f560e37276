"""What the webserver says of itself becomes a state of each part; an answer of another shape is an error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from serving.dependencies.dagster_state import CHECKS, MAX_SILENT_SECONDS, DagsterState, state_from

NOW = 1_800_000_000.0


def answer(heartbeats: list[float | None], **entry: Any) -> dict[str, Any]:
    entries = [{"name": "leadscore", "locationOrLoadError": {"__typename": "RepositoryLocation"}} | entry]
    daemons = [{"required": True, "lastHeartbeatTime": moment} for moment in heartbeats]
    return {
        "version": "1.13",
        "instance": {"daemonHealth": {"allDaemonStatuses": daemons}},
        "workspaceOrError": {"locationEntries": entries},
        **{name: [] for name in CHECKS},
    }


@pytest.mark.parametrize(
    ("heartbeats", "daemon"),
    [
        ([NOW - 1, NOW - MAX_SILENT_SECONDS], "up"),
        ([NOW - 1, NOW - MAX_SILENT_SECONDS - 1], "down"),
        ([NOW - 1, None], "down"),
        ([], "down"),
        ([NOW + 30], "up"),  # its clock is fast
    ],
)
def test_a_daemon_is_up_while_all_that_it_must_do_has_reported_lately(heartbeats, daemon):
    assert state_from(answer(heartbeats), NOW) == DagsterState("up", "up", daemon)


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "another"},
        {"locationOrLoadError": None},
        {"locationOrLoadError": {"__typename": "PythonError"}},
    ],
)
def test_a_code_server_is_up_while_its_definitions_are_loaded(entry):
    assert state_from(answer([NOW], **entry), NOW).code_server == "down"


@pytest.mark.parametrize("name", ["instance", "workspaceOrError", *CHECKS])
def test_an_answer_of_another_shape_is_an_error(name):
    for data in ({**answer([NOW]), name: "harm"}, {}):
        with pytest.raises(msgspec.ValidationError):
            state_from(data, NOW)


def test_a_state_reads_as_words():
    assert str(DagsterState("up", "down", "up")) == "up, its code server down, its daemon up"
