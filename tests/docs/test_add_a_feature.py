"""The steps that docs/training.md gives to add a feature work: a copy of the code is changed by them, and trained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from leadscore.features import CONTRACT
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.source.database import connect
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.simulator import into_database, simulate
from tests.docs.documents import TRAINING, blocks, section

NOW = datetime(2026, 6, 1, tzinfo=UTC)

TRAIN_ONCE = """
import dagster as dg
from leadscore.registry.store import Registry
from leadscore.settings import read_settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.commands.set_up_database import set_up

settings = read_settings()
set_up(settings)
with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("orgs", ["sound"])
    job = build_defs(settings).resolve_job_def("train")
    assert job.execute_in_process(instance=instance, partition_key="sound").success
version = Registry(settings.model_path).active("sound").version
print("features", *Registry(settings.model_path).manifest("sound", version).contract.names)
"""

ASK_ONCE = """
import json, sys
from serving.app import create_app
from leadscore.settings import read_settings

client = create_app(read_settings()).test_client()
answer = client.post("/api/v1/predict", json=json.loads(sys.argv[1]))
print("answer", answer.status_code, json.dumps(answer.json))
"""


def test_the_steps_to_add_a_feature_work(database: Settings, tmp_path: Path) -> None:
    """A copy of the code, changed by the two blocks of docs/training.md, trains and serves the new feature."""
    project = tmp_path / "project"
    for package in ("leadscore", "leadscore_assets", "serving"):
        shutil.copytree(PROJECT_ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    [declaration] = blocks("python", section(TRAINING, "Add a feature"))
    [column] = blocks("sql", section(TRAINING, "Add a feature"))
    insert(project / "leadscore/features.py", declaration, after="    features=(\n")
    insert(
        project / "leadscore_assets/source/features_at.sql",
        column,
        after="activity.lead_id,\n        activity.moment,\n",
    )
    with connect(database) as connection:
        create_tables(connection)
        org = Org("sound", leads=700, conversion_rate=0.35)
        into_database(connection, simulate([org], seed=3, now=NOW))

    trained = python(project, TRAIN_ONCE, database)
    features = {feature.name: max(0, feature.minimum) for feature in CONTRACT.features}
    told = python(
        project, ASK_ONCE, database, json.dumps({"org_id": "sound", "features": features | {"created_at_weekend": 1}})
    )
    untold = python(project, ASK_ONCE, database, json.dumps({"org_id": "sound", "features": features}))

    assert "created_at_weekend" in trained.split("features ")[1].split()
    assert "answer 200" in told
    assert "created_at_weekend" in told
    assert "answer 422" in untold
    assert "/features/created_at_weekend" in untold


def insert(path: Path, addition: str, *, after: str) -> None:
    before, mark, behind = path.read_text().partition(after)
    assert mark
    path.write_text(before + mark + addition + behind)


def python(project: Path, program: str, settings: Settings, *arguments: str) -> str:
    """Run a program in the changed copy, and return what it said."""
    given = {
        name.upper(): str(getattr(settings, name))
        for name in ("db_host", "db_port", "db_name", "db_user", "db_password", "model_path")
    }
    environment = {**os.environ, **given, "AS_OF": NOW.isoformat(), "PYTHONPATH": str(project)}
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
