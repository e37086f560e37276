"""The app for other WSGI servers: made from the environment, with the same logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from leadscore.features import CONTRACT
from leadscore_assets.source.database import connect
from tests.serving.conftest import Shelf
from tests.serving.crm_of_leads import Crm

ROOT = Path(__file__).parents[2]
PROGRAM = "from serving.wsgi import app; print(app.test_client().get('/health/ready').status_code)"
IMPORTS = "import sys, serving.wsgi; print(sorted({name.partition('.')[0] for name in sys.modules}))"


def run(program: str, folder: Path, **environment: Any) -> list[str]:
    environment = {"PATH": os.environ["PATH"], "MODEL_PATH": folder / "models", **environment}
    environment = {name: str(value) for name, value in environment.items()}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_app_is_ready_and_logs_json(tmp_path):
    line, status = run(PROGRAM, tmp_path)
    assert json.loads(line)["message"] == "GET /health/ready 200"
    assert status == "200"


def test_a_process_that_ends_writes_the_scores_that_it_answered(crm: Crm, shelf: Shelf, tmp_path: Path) -> None:
    shelf.activated()
    database = {name.upper(): value for name, value in vars(crm.settings).items() if name.startswith("db_")}
    body = {"lead_id": "A-17", "features": CONTRACT.example}
    program = f"from serving.wsgi import app; app.test_client().post('/api/v1/predict', json={body})"
    run(program, tmp_path, **database)
    with connect(crm.settings) as connection:
        assert connection.execute("SELECT lead_id FROM leadscore.answered_score").fetchall() == [("A-17",)]


def test_the_server_carries_neither_dagster_nor_the_training_libraries(tmp_path):
    [names] = run(IMPORTS, tmp_path)
    for heavy in ("dagster", "pandas", "sklearn", "scipy", "shap", "joblib", "leadscore_assets"):
        assert f"'{heavy}'" not in names
