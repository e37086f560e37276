"""The release has one number: pyproject.toml, CHANGELOG.md, the commands and the API's description give the same."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
from packaging.version import Version

from leadscore.settings import PROJECT_ROOT, Settings
from serving.api.openapi import openapi_document
from serving.app import create_app

HEADINGS = re.findall(r"^## (.+)$", (PROJECT_ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
RELEASES = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})", heading) for heading in HEADINGS[1:]]


def test_the_changelog_has_a_section_for_what_is_not_released_and_one_for_each_release() -> None:
    assert HEADINGS[0] == "[Unreleased]"
    assert RELEASES
    assert all(RELEASES), HEADINGS


def test_the_newest_release_of_the_changelog_is_the_projects_version() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]

    assert RELEASES[0][1] == project["version"]


@pytest.mark.parametrize("package", ["standalone", "serving"])
def test_the_commands_say_the_version(package: str) -> None:
    command = [sys.executable, "-m", package, "--version"]
    said = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout

    assert said == f"leadscore {RELEASES[0][1]}\n"


def test_the_apis_description_says_the_version(tmp_path: Path) -> None:
    document = openapi_document(create_app(Settings(model_path=tmp_path)))

    assert document["info"]["version"] == RELEASES[0][1]


def test_releases_are_listed_newest_first() -> None:
    numbers = [Version(release[1]) for release in RELEASES]
    dates = [date.fromisoformat(release[2]) for release in RELEASES]

    assert numbers == sorted(set(numbers), reverse=True)
    assert dates == sorted(dates, reverse=True)
