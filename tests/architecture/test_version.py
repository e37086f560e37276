"""The release has one number: pyproject.toml declares it, and the newest release in CHANGELOG.md is of that number."""

from __future__ import annotations

import re
import tomllib
from datetime import date

from packaging.version import Version

from leadscore.settings import PROJECT_ROOT

HEADINGS = re.findall(r"^## (.+)$", (PROJECT_ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
RELEASES = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})", heading) for heading in HEADINGS[1:]]


def test_the_changelog_has_a_section_for_what_is_not_released_and_one_for_each_release() -> None:
    assert HEADINGS[0] == "[Unreleased]"
    assert RELEASES
    assert all(RELEASES), HEADINGS


def test_the_newest_release_of_the_changelog_is_the_projects_version() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]

    assert RELEASES[0][1] == project["version"]


def test_releases_are_listed_newest_first() -> None:
    numbers = [Version(release[1]) for release in RELEASES]
    dates = [date.fromisoformat(release[2]) for release in RELEASES]

    assert numbers == sorted(set(numbers), reverse=True)
    assert dates == sorted(dates, reverse=True)
