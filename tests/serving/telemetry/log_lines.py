"""The log as a test reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serving.telemetry.json_logging import flush_lines


class Lines:
    """The log that was written to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def getvalue(self) -> str:
        """Return all that was written so far."""
        flush_lines()
        return self._path.read_text(encoding="utf-8")


def entries(lines: Lines) -> list[dict[str, Any]]:
    """Return each line of the log, read."""
    return [json.loads(line) for line in lines.getvalue().splitlines()]
