"""docs/licences.md lists what the images' packages ask, as the lock files and the packages have it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from leadscore.settings import PROJECT_ROOT
from requirements.licences import APACHE, COPYLEFT, NOTICE, UnknownLicence, demand, licence_of


def test_the_page_is_what_the_tool_writes(tmp_path: Path) -> None:
    written = tmp_path / "licences.md"
    subprocess.run([sys.executable, PROJECT_ROOT / "requirements/licences.py", written], check=True, timeout=60)

    assert (PROJECT_ROOT / "docs/licences.md").read_text() == written.read_text(), "run make licences"


def test_a_licence_that_is_not_known_is_refused_with_what_to_do() -> None:
    package = SimpleNamespace(name="novel", version="1.0", license="Novel Public License")

    with pytest.raises(UnknownLicence, match=r"novel 1.0 declares the licence 'Novel Public License'.*add the licence"):
        licence_of(package)


@pytest.mark.parametrize(
    ("licence", "asked"),
    [("MIT", NOTICE), ("MPL-2.0 AND MIT", COPYLEFT), ("MIT OR Apache-2.0", NOTICE), ("Apache-2.0 AND MIT", APACHE)],
)
def test_alternatives_ask_the_least_and_licences_that_hold_together_the_most(licence: str, asked: int) -> None:
    assert demand(licence) == asked
