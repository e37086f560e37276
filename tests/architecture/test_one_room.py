"""What is written in one place only: a second copy would be forgotten when the first one changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("leadscore", "leadscore_assets", "standalone", "serving")


def _lines(*packages: str) -> Iterator[tuple[str, str]]:
    """Yield every line of the packages' code, with the file that it is in."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            for line in path.read_text().splitlines():
                yield str(path.relative_to(ROOT)), line


RULES = {
    "the types of shared arrays": (
        r"NDArray\[np\.(float32|float64|int32|int64|intp|bool_|str_)\]",
        "leadscore/arrays.py",
        PACKAGES,
    ),
    "the bins of the calibration": (r"\* CALIBRATION_BINS\)", "leadscore/evaluation.py", PACKAGES),
    "whether both outcomes occur": (r"\.any\(\) (or|and not) \w[\w.]*\.all\(\)", "leadscore/evaluation.py", PACKAGES),
    "the query of an address": (r"urlencode\(|\?org_id=", "leadscore/settings.py", PACKAGES),
    "a moment as the CRM writes it": (r"replace\(tzinfo=None\)", "leadscore/records.py", PACKAGES),
    "the columns that rows have beside features": (
        r'"landmark_days", "converted"',
        "leadscore_assets/dataset.py",
        ("leadscore", "leadscore_assets"),
    ),
    "how many leads converted": (r'\["converted"\]\.sum\(\)', "leadscore_assets/dataset.py", PACKAGES),
    "the call of outcome_counts": (r"leadscore\.outcome_counts\(", "leadscore/outcome_forecast.py", PACKAGES),
    "a database session's settings": (r'"statement_timeout"', "leadscore/settings.py", PACKAGES),
    "the names of loopback": (r'"\[::1\]"', "leadscore/hosts.py", PACKAGES),
    "an evenly spread sample": (r"np\.linspace\(", "leadscore/arrays.py", PACKAGES),
}


@pytest.mark.parametrize(("pattern", "room", "packages"), RULES.values(), ids=RULES)
def test_a_rule_has_one_room(pattern: str, room: str, packages: tuple[str, ...]) -> None:
    assert {path for path, line in _lines(*packages) if re.search(pattern, line)} == {room}


def test_which_statuses_close_a_lead_is_decided_in_sql_alone() -> None:
    """The records' SQL and the functions over outcomes say it; code only has the settings that name the statuses."""
    lines = {
        (path, line.strip())
        for path, line in _lines("leadscore", "leadscore_assets", "serving")
        if re.search(r"\bLOST\b", line)
    }
    assert {path for path, _ in lines} == {"leadscore/settings.py"}
    assert len(lines) == 1
