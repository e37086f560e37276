"""Finds Prometheus' own tool, which judges rules as the server does, and runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MISSING = "promtool is not installed: `apt-get install --no-install-recommends prometheus` brings it"


def promtool(*arguments: str | Path) -> str:
    """Return what promtool prints. A failure fails the test; without promtool it is skipped, unless CI=true."""
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
