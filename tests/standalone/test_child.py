"""How a child is started, and how its end is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadscore.errors import CannotRun
from standalone import child


def test_root_without_the_tool_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "is_root", lambda: True)
    monkeypatch.setattr(child.shutil, "which", {}.get)
    with pytest.raises(CannotRun, match=r"refuses to run as root.*Install util-linux.*ordinary user.*DB_HOST"):
        child.as_ordinary_user(["/bin/true"], tmp_path)


def test_an_end_is_told_by_its_code_or_its_signal() -> None:
    assert child.how_it_ended(3) == "ended with code 3"
    assert child.how_it_ended(-9) == "was ended by signal 9"


def test_the_end_of_a_log_is_its_last_lines_and_an_empty_log_is_said_to_be(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    assert child.last_lines(log) == "    (its log is empty)"
    log.write_bytes(b"one\ntwo\n\xff three\n")
    assert child.last_lines(log, count=2) == "    two\n    \ufffd three"


def test_who_is_not_root_starts_the_command_as_it_is_but_dying_with_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "is_root", lambda: False)
    assert child.as_ordinary_user(["/bin/true"], tmp_path) == child.dying_with_parent(["/bin/true"])
    assert child.dying_with_parent(["/bin/true"])[-1] == "/bin/true"
