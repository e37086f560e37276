"""Training over HTTP against a real Dagster: every outcome that a caller can meet."""

from __future__ import annotations

import threading
import time
from typing import Any

from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from serving.app import create_app
from serving.training.failure_messages import MESSAGES

TRAIN = "/api/v1/model/train"
ENDED_SECONDS = 120


def ended(system: Any, path: str) -> Any:
    """Return the answer about a run once it is over."""
    deadline = time.monotonic() + ENDED_SECONDS
    while True:
        answer = system.ask("GET", path)
        if answer.status != 202:
            return answer
        assert time.monotonic() < deadline, answer.body
        time.sleep(0.5)


def test_a_first_start_trains_every_org_that_can_be_trained(system: Any) -> None:
    """Each outcome is said in words: activated, too small, one class."""
    said = "".join(system.output)

    for org_id in ("default", "sound"):
        assert f"Org {org_id}: activated {system.registry.active(org_id).version}" in said
    assert "Org small: not trained: 37 of 100 records" in said
    assert "convert" in said.partition("Org one-class: not trained: ")[2][:300]


def test_training_again_with_nothing_new_is_held(system: Any) -> None:
    """The answer is a success that activated nothing, with figures of both versions."""
    active = system.registry.active("sound").version

    answer = system.ask("POST", f"{TRAIN}?wait=120", {"org_id": "sound"})

    assert answer.status == 200
    assert answer.body["status"] == "success"
    assert answer.body["activated"] is False
    assert f"the active version {active} is" in " ".join(answer.body["reasons"])
    assert answer.body["training_data_size"] > 100
    assert 0.5 < answer.body["metrics"]["roc_auc"] < 0.9
    assert system.registry.active("sound").version == active
    assert system.registry.versions("sound")[0] == answer.body["version"] > active


def test_an_org_with_too_few_records_is_insufficient_data(system: Any) -> None:
    answer = system.ask("POST", f"{TRAIN}?wait=120", {"org_id": "small"})

    assert answer.status == 422
    assert answer.body["status"] == "insufficient_data"
    assert "37 of 100 records" in answer.body["message"]
    assert answer.body["org_id"] == "small"


def test_an_org_with_one_class_is_insufficient_data(system: Any) -> None:
    answer = system.ask("POST", f"{TRAIN}?wait=120", {"org_id": "one-class"})

    assert answer.status == 422
    assert "no lead converted" in answer.body["message"]
    assert "run_id" not in answer.body


def test_an_org_that_trains_already_is_told_so(system: Any) -> None:
    """The second caller gets 409; the first one's run goes on to its end."""
    first = system.ask("POST", f"{TRAIN}?wait=0", {"org_id": "default"})
    second = system.ask("POST", f"{TRAIN}?wait=0", {"org_id": "default"})

    assert (first.status, second.status) == (202, 409)
    assert first.headers["Location"] == f"{TRAIN}/{first.body['run_id']}"
    over = ended(system, first.headers["Location"])
    assert (over.status, over.body["status"], over.body["run_id"]) == (200, "success", first.body["run_id"])


def test_two_callers_at_once_start_one_run(system: Any) -> None:
    answers: list[Any] = []

    def post() -> None:
        answers.append(system.ask("POST", f"{TRAIN}?wait=0", {"org_id": "sound"}))

    callers = [threading.Thread(target=post) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert sorted(answer.status for answer in answers) == [202, 409, 409, 409]
    [started] = [answer for answer in answers if answer.status == 202]
    assert ended(system, started.headers["Location"]).status == 200


FIRST_ASSET = 'jobName: "__ASSET_JOB", assetSelection: [{path: ["conversion_records"]}]'
WHOLE_TRAINING = 'jobName: "train"'


def launched_as_from_the_ui(system: Any, org_id: str, what: str) -> str:
    """Launch what is selected, for the org, in the way of the UI's Materialize, and return the run's id."""
    launched = system.query_dagster(
        f"""mutation {{launchRun(executionParams: {{
            selector: {{repositoryLocationName: "leadscore", repositoryName: "__repository__", {what}}},
            executionMetadata: {{tags: [{{key: "dagster/partition", value: "{org_id}"}}]}}
        }}) {{__typename ... on LaunchRunSuccess {{run {{runId}}}}}}}}"""
    )["launchRun"]
    return str(launched["run"]["runId"])


def wait_for_status(system: Any, run_id: str, expected: str) -> None:
    """Wait until Dagster gives the run this status."""
    deadline = time.monotonic() + ENDED_SECONDS
    query = f'{{runOrError(runId: "{run_id}") {{... on Run {{status}}}}}}'
    while (status := system.query_dagster(query)["runOrError"]["status"]) != expected:
        assert time.monotonic() < deadline, status
        time.sleep(0.5)


def test_a_run_of_the_org_that_was_started_in_the_ui_is_told_of(system: Any) -> None:
    """It would let a training wait, so the caller gets 409 with its id, and no address, which would answer 404."""
    run_id = launched_as_from_the_ui(system, "sound", FIRST_ASSET)
    answer = system.ask("POST", f"{TRAIN}?wait=0", {"org_id": "sound"})

    assert (answer.status, answer.body["run_id"]) == (409, run_id)
    assert "Location" not in answer.headers
    wait_for_status(system, run_id, "SUCCESS")


def test_a_training_that_fails_says_what_kind_of_thing_is_wrong(system: Any) -> None:
    """A CRM whose table is gone fails the run; the answer tells the kind, and no table, SQL or path."""
    with connect(system.settings) as connection:
        connection.execute("ALTER TABLE message RENAME TO message_away")
    try:
        answer = system.ask("POST", f"{TRAIN}?wait=120", {"org_id": "sound"})
    finally:
        with connect(system.settings) as connection:
            connection.execute("ALTER TABLE message_away RENAME TO message")

    assert answer.status == 503
    assert answer.body["code"] == "training_failed"
    assert answer.body["detail"] == f"{MESSAGES['source_mismatch']}; the run in Dagster has the details"
    for inside in ("message", "relation", "SELECT", "/", ".sql", "Traceback"):
        assert inside not in answer.body["detail"]
    assert answer.body["run_id"]
    assert answer.headers["Retry-After"]


def test_without_dagster_training_is_unavailable_and_scoring_goes_on(away: Settings, system: Any) -> None:
    client = create_app(away).test_client()

    answer = client.post(TRAIN, json={"org_id": "sound"})
    importance = client.get("/api/v1/model/feature-importance?org_id=sound")

    assert answer.status_code == 503
    assert answer.json["code"] == "dagster_unavailable"
    assert answer.headers["Retry-After"]
    assert importance.status_code == 200


def test_dagster_shows_the_org_its_version_and_its_checks(system: Any) -> None:
    """The partition's materialization carries the version, and both checks are recorded for the org."""
    wait_for_status(system, launched_as_from_the_ui(system, "small", WHOLE_TRAINING), "FAILURE")

    found = system.query_dagster(
        """{assetNodeOrError(assetKey: {path: ["evaluation"]}) {... on AssetNode {
            latestMaterializationByPartition(partitions: ["default"]) {
                metadataEntries {label ... on TextMetadataEntry {text}}}}}}"""
    )["assetNodeOrError"]["latestMaterializationByPartition"]
    text = {entry["label"]: entry.get("text") for entry in found[0]["metadataEntries"]}
    assert text["version"] == system.registry.versions("default")[0]
    checks = system.query_dagster(
        """{assetCheckExecutions(assetKey: {path: ["evaluation"]}, checkName: "minimum_records",
            partition: "small", limit: 1) {status}}"""
    )
    assert [check["status"] for check in checks["assetCheckExecutions"]] == ["FAILED"]
