"""Grafana's dashboards and what provisions them, as the tests read them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadscore.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "deploy" / "grafana"
TIME_FILTER = re.compile(r"\$__timeFilter\((\w+)\)")


@dataclass(frozen=True)
class Panel:
    """A panel: where it stands, its description, and its queries in PromQL and SQL."""

    place: str
    described: dict[str, Any]

    @property
    def promql(self) -> list[str]:
        """Return its queries in PromQL."""
        return [target["expr"] for target in self.described["targets"] if "expr" in target]

    @property
    def sql(self) -> list[str]:
        """Return its queries in SQL, with times of every day in place of those that the viewer chooses."""
        queries = [target["rawSql"] for target in self.described["targets"] if "rawSql" in target]
        return [TIME_FILTER.sub(r"\1 BETWEEN '1970-01-01' AND '9999-01-01'", query) for query in queries]


@dataclass(frozen=True)
class Dashboard:
    """A dashboard's file."""

    path: Path
    described: dict[str, Any]

    @property
    def panels(self) -> list[Panel]:
        """Return its panels."""
        return [Panel(f"{self.path.stem}: {panel['title']}", panel) for panel in self.described["panels"]]


DASHBOARDS = [Dashboard(path, json.loads(path.read_text())) for path in sorted((FOLDER / "dashboards").glob("*.json"))]
