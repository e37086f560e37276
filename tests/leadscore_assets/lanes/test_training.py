"""A run of many orgs works until the list is empty; an org that fails harms no other, and none is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import dagster as dg
import pytest

from leadscore.errors import ClaimLost, ControlPlaneHeld, DatabaseUnavailable, RegistryUnavailable
from leadscore.pooling import POOLED
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.lanes import training as module
from leadscore_assets.lanes.training import in_words_of, training_config, training_runs
from leadscore_assets.source.database import connect
from leadscore_assets.trainings import claims as claims_module
from leadscore_assets.trainings.ended_trainings import EndedTraining, last_ended
from leadscore_assets.trainings.work_list import Batch, DueOrg, Progress, add_batch, take_next, waiting
from tests.leadscore_assets.conftest import NOW

ALL = ["one-class", "small", "sound"]
COPY = """
INSERT INTO dossier (id, org_id, status, created_at, updated_at)
SELECT id + 1000000, 'south', status, created_at, updated_at FROM dossier WHERE org_id = 'sound';
INSERT INTO dossier_status_history (dossier_id, org_id, from_status, to_status, transitioned_at)
SELECT dossier_id + 1000000, 'south', from_status, to_status, transitioned_at
FROM dossier_status_history WHERE org_id = 'sound';
"""


def run(settings: Settings, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_defs(settings).resolve_job_def("train_orgs")
    return job.execute_in_process(instance=instance, run_config=training_config(**config), raise_on_error=False)


def statuses(settings: Settings) -> dict[str, str]:
    with connect(settings, read_only=True) as connection:
        rows: list[Any] = connection.execute("SELECT org_id, status FROM leadscore.ended_training").fetchall()
    return dict(rows)


def is_idle(settings: Settings) -> bool:
    with connect(settings, read_only=True) as connection:
        claims = connection.execute("SELECT count(*) FROM leadscore.training_claim").fetchall()
        return waiting(connection) == 0 and claims == [(0,)]


def last(settings: Settings, org_id: str) -> EndedTraining:
    with connect(settings, read_only=True) as connection:
        ended = last_ended(connection, org_id)
    assert ended is not None
    return ended


def totals(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [output] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def test_the_orgs_that_are_due_are_trained_when_none_is_named(
    crm_settings: Settings, instance: dg.DagsterInstance, registry: Registry
) -> None:
    """Only `sound` has enough data: the others would be refused."""
    result = run(crm_settings, instance, as_of=NOW.isoformat())
    assert result.success
    counts = {"orgs": 1, "activated": 1, "held": 0, "insufficient_data": 0, "failed": 0}
    said = "1 of 1 orgs, 1 activated, 0 held, 0 refused, 0 failed"
    assert totals(result) == counts | {"batch": said}
    assert statuses(crm_settings) == {"sound": "activated"}
    assert registry.active("sound") is not None
    assert is_idle(crm_settings)
    assert last(crm_settings, "sound").asked_by == "Dagster UI"


def test_orgs_that_are_named_are_trained_due_or_not_and_a_refusal_is_no_failure(
    crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    assert run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=ALL).success
    assert statuses(crm_settings) == {
        "sound": "activated",
        "small": "insufficient_data",
        "one-class": "insufficient_data",
    }


def test_a_name_that_nobody_has_is_refused_before_anything_is_added(
    crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    result = run(crm_settings, instance, org_ids=["sound", "sond"])
    said = "1 of the named orgs have no lead in the CRM, or an id that is not valid: sond. Correct org_ids"
    assert said in failure_of(result)
    assert is_idle(crm_settings)


def test_an_id_that_can_be_no_partition_is_refused_and_becomes_none(
    crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    """A partition of such an id would let the sensors that look at every org fail for all."""
    before = instance.get_dynamic_partitions("orgs")
    with connect(crm_settings) as connection:
        connection.execute("UPDATE dossier SET org_id = 'a/b' WHERE org_id = 'small'")
    for org_id in ("a/b", POOLED):
        assert f"or an id that is not valid: {org_id}." in failure_of(run(crm_settings, instance, org_ids=[org_id]))
    assert instance.get_dynamic_partitions("orgs") == before
    assert statuses(crm_settings) == {}
    assert is_idle(crm_settings)


def test_a_trial_of_an_org_that_waits_for_a_training_is_refused_and_does_not_become_one(
    crm_settings: Settings, instance: dg.DagsterInstance, registry: Registry
) -> None:
    with connect(crm_settings) as connection:
        add_batch(connection, Batch("schedule"), ["sound"])
    result = run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["small", "sound"], activate=False)
    assert "1 of the orgs wait for a training that was asked for with another as_of" in failure_of(result)
    assert registry.active("sound") is None
    with connect(crm_settings) as connection:
        assert waiting(connection) == 1


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    [failed] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    return str(failed.step_failure_data.user_failure_data)


def test_an_org_that_fails_harms_no_other_and_its_check_turns_red(
    crm_settings: Settings, instance: dg.DagsterInstance, registry: Registry
) -> None:
    (registry.root / "small").mkdir(parents=True)
    (registry.root / "small" / "active.json").write_bytes(b"")
    result = run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["small", "sound"])
    assert not result.success
    assert "1 of 2 orgs could not be trained: small (" in failure_of(result)
    assert statuses(crm_settings) == {"small": "failed", "sound": "activated"}
    key = dg.AssetCheckKey(dg.AssetKey("active_model"), "training_ended")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert {record.partition: record.status.value for record in history} == {"small": "FAILED", "sound": "SUCCEEDED"}
    of_small = dg.AssetRecordsFilter(dg.AssetKey("trained_model"), asset_partitions=["small"])
    assert instance.fetch_materializations(of_small, limit=1).records == []
    assert is_idle(crm_settings)


def test_a_trial_activates_nothing(crm_settings: Settings, instance: dg.DagsterInstance, registry: Registry) -> None:
    assert run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["sound"], activate=False).success
    assert registry.active("sound") is None
    assert statuses(crm_settings) == {"sound": "held"}
    assert "only" in last(crm_settings, "sound").reasons


def test_the_pool_is_trained_like_an_org(pooled_settings: Settings, instance: dg.DagsterInstance) -> None:
    assert run(pooled_settings, instance, org_ids=[POOLED]).success
    assert statuses(pooled_settings) == {POOLED: "activated"}


def test_a_run_that_only_helps_takes_what_others_asked_for(
    crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    with connect(crm_settings) as connection:
        add_batch(connection, Batch("schedule", NOW, batch_id="batch-1"), ["sound", "small"])
    result = run(crm_settings, instance, adds_orgs=False)
    assert totals(result)["orgs"] == 2
    assert {last(crm_settings, org_id).asked_by for org_id in ("sound", "small")} == {"schedule"}
    assert last(crm_settings, "sound").batch_id == "batch-1"


def test_a_run_ends_in_time_and_leaves_the_rest_to_the_next(
    crm_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(crm_settings) as connection:
        add_batch(connection, Batch("test", NOW), ALL)
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.0)
    done = [totals(run(crm_settings, instance, adds_orgs=False))["orgs"] for _ in range(4)]
    assert done == [1, 1, 1, 0]
    assert is_idle(crm_settings)


def test_an_org_whose_claim_is_lost_is_left_to_whoever_has_it(
    crm_settings: Settings, instance: dg.DagsterInstance, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is published, nothing is recorded of it, and it stays on the list."""
    lost = iter([True])

    def train_org(training: Any, connection: Any, window: Any, *, is_trial: bool) -> Any:
        if next(lost, False):
            connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp()")
            with pytest.raises(ClaimLost), training.registry.exclusive("sound"):
                pass
            raise ClaimLost("sound", None)
        return original(training, connection, window, is_trial=is_trial)

    original = module.train_org
    monkeypatch.setattr(module, "train_org", train_org)
    result = run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["sound"])
    assert result.success
    assert len(registry.versions("sound")) == 1
    assert totals(result)["activated"] == 1
    assert is_idle(crm_settings)


def test_an_org_whose_claim_is_lost_while_its_end_is_recorded_is_left_to_whoever_has_it(
    crm_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Dagster's tables are locked for a minute: the org is counted once, by the run that has it then."""
    taken = list[DueOrg]()

    def log_events(context: Any, events: Any) -> None:
        original(context, events)
        if not taken:
            with connect(crm_settings) as other:
                other.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp()")
                taken.append(take_next(other, "other-run"))  # type: ignore[arg-type]  # it is there
                # the other run is gone, too
                other.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp()")

    original = module.log_events
    monkeypatch.setattr(module, "log_events", log_events)
    result = run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["small"])
    assert result.success
    assert [due.org_id for due in taken] == ["small"]
    assert totals(result)["insufficient_data"] == 1
    with connect(crm_settings, read_only=True) as connection:
        total = connection.execute("SELECT sum(trainings)::int FROM leadscore.training_total").fetchall()
    assert total == [(1,)]
    assert is_idle(crm_settings)


def test_a_claim_is_renewed_while_the_end_is_recorded(
    crm_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log_events(context: Any, events: Any) -> None:
        original(context, events)
        with connect(crm_settings) as other:
            other.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp() + interval '2 seconds'")
            deadline = time.monotonic() + 1.5
            while other.execute(RENEWED).fetchall() == [(0,)]:
                assert time.monotonic() < deadline, "the claim was not renewed"
                time.sleep(0.05)

    original = module.log_events
    monkeypatch.setattr(module, "log_events", log_events)
    monkeypatch.setattr(claims_module, "RENEWAL_SECONDS", 0.05)
    assert run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["small"]).success


RENEWED = """
SELECT count(*) FROM leadscore.training_claim WHERE expires_at > clock_timestamp() + interval '5 seconds'
"""


@pytest.mark.parametrize("outage", [DatabaseUnavailable, RegistryUnavailable, ControlPlaneHeld])
def test_what_fails_on_the_machine_and_not_in_the_org_ends_the_run_and_loses_no_org(
    crm_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, outage: Any
) -> None:
    """A machine that cannot train would else empty the list for all others."""

    def train_org(*_: Any, **__: Any) -> Any:
        raise outage("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(module, "train_org", train_org)
        result = run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["sound", "small"])
    assert "it is away" in failure_of(result)
    assert statuses(crm_settings) == {}
    with connect(crm_settings) as connection:
        assert waiting(connection) == 2
    expire(crm_settings)
    assert run(crm_settings, instance, adds_orgs=False).success
    assert set(statuses(crm_settings)) == {"sound", "small"}


def test_what_fails_in_every_run_is_the_orgs_end_with_its_reason(
    crm_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_org(*_: Any, **__: Any) -> Any:
        raise DatabaseUnavailable("its query takes too long")

    monkeypatch.setattr(module, "train_org", train_org)
    run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["small"])
    for _ in range(2):
        expire(crm_settings)
        run(crm_settings, instance, adds_orgs=False)
    assert (last(crm_settings, "small").status, last(crm_settings, "small").reasons) == (
        "failed",
        "its query takes too long",
    )
    assert is_idle(crm_settings)


def expire(settings: Settings) -> None:
    with connect(settings) as connection:
        connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp()")


def test_an_org_that_ends_every_run_is_given_up_in_words(crm_settings: Settings, instance: dg.DagsterInstance) -> None:
    with connect(crm_settings) as connection:
        add_batch(connection, Batch("schedule", NOW), ["sound"])
        for number in range(3):
            assert take_next(connection, f"run-{number}") is not None
            connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp()")
    assert not run(crm_settings, instance, adds_orgs=False).success
    assert "3 runs that took the org ended without a word" in last(crm_settings, "sound").reasons
    assert is_idle(crm_settings)


def test_a_lost_database_ends_the_run_and_loses_no_org(
    crm_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_org(_training: Any, connection: Any, *_: Any, **__: Any) -> Any:
        connection.close()
        connection.execute("SELECT 1")

    with monkeypatch.context() as patched:
        patched.setattr(module, "train_org", train_org)
        result = run(crm_settings, instance, as_of=NOW.isoformat(), org_ids=["sound", "small"])
    assert "those after it stay on the work list" in failure_of(result)
    assert statuses(crm_settings) == {}
    with connect(crm_settings) as connection:
        assert waiting(connection) == 2
        connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp()")
    assert run(crm_settings, instance, adds_orgs=False).success
    assert set(statuses(crm_settings)) == {"sound", "small"}


def test_runs_that_are_killed_at_any_moment_lose_no_org(
    crm_settings: Settings, instance: dg.DagsterInstance, registry: Registry
) -> None:
    """Each org ends with one row, an active version that loads, and nothing half published."""
    with connect(crm_settings) as connection:
        connection.execute(COPY.encode())
        add_batch(connection, Batch("test", NOW, batch_id="batch-1"), ["sound", "south", "small", "one-class"])
        seed = random.Random(5)
        for _ in range(3):
            kill_after(seed.uniform(0.1, 2.5), crm_settings)
            connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp()")
    assert run(crm_settings, instance, adds_orgs=False).success
    ended = statuses(crm_settings)
    assert {ended.pop("small"), ended.pop("one-class")} == {"insufficient_data"}
    # a run that was killed after it had activated a version did not say so, and the next one holds its own
    assert ended.keys() == {"sound", "south"}
    assert set(ended.values()) <= {"activated", "held"}
    pointer = registry.active("sound")
    assert pointer is not None
    for org_id in ended:
        for version in registry.versions(org_id):
            registry.verify(org_id, version)
    assert is_idle(crm_settings)


WORKER = """
import dagster as dg
from leadscore.settings import read_settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.lanes.training import training_config

with dg.DagsterInstance.ephemeral() as instance:
    job = build_defs(read_settings()).resolve_job_def("train_orgs")
    print("works", flush=True)
    job.execute_in_process(instance=instance, run_config=training_config(adds_orgs=False))
"""


def kill_after(seconds: float, settings: Settings) -> None:
    """Start a run in a process of its own, and kill it so many seconds after it has begun."""
    environment = {
        **os.environ,
        **{f"DB_{name.upper()}": str(getattr(settings, f"db_{name}")) for name in DATABASE},
        "MODEL_PATH": str(settings.model_path),
    }
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"works\n"
        time.sleep(seconds)
        worker.send_signal(signal.SIGKILL)


DATABASE = ("host", "port", "name", "user", "password")


def test_the_runs_of_a_tick_are_launched_once_and_those_of_the_sensor_whenever_they_are_missing() -> None:
    runs = training_runs(2, "schedule", "2026-06-01T02:00:00+00:00")
    assert len({run.run_key for run in runs}) == 2
    assert [run.tags["leadscore/shard"] for run in runs] == ["1 of 2", "2 of 2"]
    assert {run.run_key for run in training_runs(2, "sensor")} == {None}


@pytest.mark.parametrize(
    ("left", "left_seconds", "said"),
    [
        (688, 240.0, "312 of 1,000 orgs, 268 activated, 41 held, 3 refused, 0 failed, about 4 min left"),
        (688, None, "312 of 1,000 orgs, 268 activated, 41 held, 3 refused, 0 failed"),
        (688, 12.0, "312 of 1,000 orgs, 268 activated, 41 held, 3 refused, 0 failed, about 1 min left"),
    ],
)
def test_progress_is_said_in_a_line(left: int, left_seconds: float | None, said: str) -> None:
    assert in_words_of(Progress(1_000, left, 268, 41, 3, 0), left_seconds) == said
