"""A start scores the open leads of orgs whose model is new, by the job that Dagster has for it."""

from __future__ import annotations

from typing import Any

import pytest

from leadscore.errors import DagsterUnavailable
from leadscore_assets.lanes.scoring import score_open_leads, shard_config
from serving.dependencies.dagster_client import DagsterClient, Run
from standalone import first_scoring
from standalone.first_scoring import JOB, score_orgs


class ScriptedDagster(DagsterClient):
    """Launches runs that pass through the given statuses."""

    def __init__(self, *statuses: str) -> None:
        super().__init__("http://scripted")
        self.statuses = list(statuses)
        self.launched: list[tuple[str, dict[str, Any], dict[str, str]]] = []

    def launch_job(self, job: str, run_config: dict[str, Any], tags: dict[str, str]) -> str:
        self.launched.append((job, run_config, tags))
        return "r1"

    def run(self, run_id: str) -> Run | None:
        if not self.statuses:
            raise DagsterUnavailable("Dagster is away")
        return Run(run_id, self.statuses.pop(0), JOB, [])


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_scoring, "POLL_SECONDS", 0.0)


def test_one_run_of_dagsters_job_scores_all_the_orgs() -> None:
    dagster, watched = ScriptedDagster("QUEUED", "STARTED", "SUCCESS"), list[int]()
    assert score_orgs(dagster, ["b", "a"], lambda: watched.append(1)) is None
    [(job, config, tags)] = dagster.launched
    assert job == score_open_leads.name
    assert config == shard_config(org_ids=["a", "b"])
    assert tags == {"leadscore/asked_by": "make run"}
    assert len(watched) == 2


def test_a_run_that_fails_is_named() -> None:
    assert score_orgs(ScriptedDagster("FAILURE"), ["a"], lambda: None) == (
        "run r1 has ended with FAILURE; look at it in Dagster"
    )


def test_dagster_that_is_away_is_a_reason() -> None:
    assert score_orgs(ScriptedDagster(), ["a"], lambda: None) == DagsterUnavailable("").message


def test_a_run_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_scoring, "SCORING_SECONDS", -60.0)
    said = score_orgs(ScriptedDagster("STARTED"), ["a"], lambda: None)
    assert said is not None
    assert said.startswith("run r1 is not done within")
