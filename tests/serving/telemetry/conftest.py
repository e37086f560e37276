"""The log, written to a file of the test's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.telemetry.json_logging import flush_lines, write_json_lines
from tests.serving.telemetry.log_lines import Lines


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Lines]:
    """Write the log to a file, and put logging back as it was."""
    root, raises = logging.getLogger(), logging.raiseExceptions
    handlers, level, path = root.handlers[:], root.level, tmp_path / "log.jsonl"
    with path.open("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        write_json_lines("DEBUG")
        yield Lines(path)
        flush_lines()
        root.handlers, logging.raiseExceptions = handlers, raises
        root.setLevel(level)
