"""The app for other WSGI servers: made from the environment, with the same logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = "from serving.wsgi import app; print(app.test_client().get('/health/ready').status_code)"
IMPORTS = "import sys, serving.wsgi; print(sorted({name.partition('.')[0] for name in sys.modules}))"


def run(program: str, folder: Path) -> list[str]:
    environment = {"PATH": os.environ["PATH"], "MODEL_PATH": str(folder / "models")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_app_is_ready_and_logs_json(tmp_path):
    line, status = run(PROGRAM, tmp_path)
    assert json.loads(line)["message"] == "GET /health/ready 200"
    assert status == "200"


def test_the_server_carries_neither_dagster_nor_the_training_libraries(tmp_path):
    [names] = run(IMPORTS, tmp_path)
    for heavy in ("dagster", "pandas", "sklearn", "scipy", "shap", "joblib", "leadscore_assets"):
        assert f"'{heavy}'" not in names
