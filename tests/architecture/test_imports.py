"""What a process need not have, it does not load: checked in a fresh interpreter, not by reading the code."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPORT = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


def _modules_of(package: str) -> list[str]:
    found = pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
    return [package, *(module.name for module in found)]


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("leadscore", {"dagster", "flask", "joblib", "pandas", "psycopg", "scipy", "sklearn"}),
        ("serving", {"dagster", "joblib", "pandas", "scipy", "sklearn"}),
    ],
)
def test_importing_every_module_of_a_package_loads_nothing_that_it_may_not_need(
    package: str, unwanted: set[str]
) -> None:
    modules = _modules_of(package)
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *modules], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert set(modules) <= set(loaded)
    assert unwanted & {name.partition(".")[0] for name in loaded} == set()
