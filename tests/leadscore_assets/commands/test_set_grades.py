"""`set_grades` sets an org's rule, says what follows, and refuses what is no rule."""

from __future__ import annotations

import pytest

from leadscore.settings import Settings
from leadscore_assets.commands import set_grades
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect


@pytest.fixture(autouse=True)
def environment(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find the test's database."""
    for name in ("host", "port", "name", "user", "password"):
        monkeypatch.setenv(f"DB_{name.upper()}", str(getattr(database, f"db_{name}")))
    monkeypatch.setenv("MODEL_PATH", str(database.model_path))
    (database.model_path / "north").mkdir(parents=True)


def rule_of(database: Settings, org_id: str) -> object:
    with connect(database) as connection:
        return connection.execute(
            "SELECT grade_rule, weekly_capacity, cut_points FROM leadscore.org_setting WHERE org_id = %s", [org_id]
        ).fetchone()


def test_a_capacity_and_then_the_base_rate(database: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(database)
    assert set_grades.main(["north", "--capacity", "40"]) == 0
    assert rule_of(database, "north") == ("capacity", 40, None)
    assert "A for the best 40 new leads of a week" in capsys.readouterr().out
    assert set_grades.main(["north"]) == 0
    assert rule_of(database, "north") == ("base_rate", None, None)
    assert "A from twice its base rate" in capsys.readouterr().out


@pytest.mark.parametrize("capacity", ["0", "-3", "many", "1.5"])
def test_what_is_no_capacity_is_refused(capacity: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        set_grades.main(["north", f"--capacity={capacity}"])
    assert "a whole number of leads from 1" in capsys.readouterr().err


def test_what_is_no_org_is_refused(database: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(database)
    assert set_grades.main(["../north"]) == 1
    assert "org" in capsys.readouterr().err


def test_an_org_that_nobody_knows_is_refused(database: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(database)
    assert set_grades.main(["nroth"]) == 1
    assert "org nroth has neither versions nor rows here" in capsys.readouterr().err
    assert rule_of(database, "nroth") is None


def test_before_the_set_up_the_error_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert set_grades.main(["north"]) == 1
    assert "set_up_database" in capsys.readouterr().err
