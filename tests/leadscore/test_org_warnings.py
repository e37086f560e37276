"""Each warning has its meaning, in the order in which they are shown."""

from __future__ import annotations

from typing import get_args

from leadscore.org_warnings import WARNINGS, OrgWarning


def test_each_warning_has_a_meaning() -> None:
    assert tuple(WARNINGS) == get_args(OrgWarning)
    assert all(meaning.startswith(("it ", "its ", "the ")) for meaning in WARNINGS.values())
