"""The end of a start: the first rows of a call list, with reasons in words, and the line that asks for them again."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from standalone.api import Answer, Api
from standalone.showcase import CallList, first_call_list, print_call_list
from tests.standalone.scripted_api import CALL_LIST, ENTRY, ScriptedApi

NOT_SCORED = Answer(404, {"code": "org_not_scored", "detail": "the org's leads were not scored yet"})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a registry with three orgs."""
    for org_id in ("a", "default", "z"):
        (tmp_path / org_id).mkdir()
    return Settings(model_path=tmp_path)


def shown(shown: CallList, width: int = 200) -> str:
    """Return what is printed of a call list."""
    output = io.StringIO()
    print_call_list(Console(file=output, width=width), Api("http://here"), shown)
    return output.getvalue()


def test_the_list_of_default_comes_first(settings: Settings) -> None:
    api = ScriptedApi(CALL_LIST)
    assert first_call_list(api, settings) == (CallList("default", 812, "V", [ENTRY]), {})
    assert api.asked == ["GET /leads?org_id=default&limit=5"]


def test_orgs_without_a_list_are_passed_over_and_named_where_something_is_wrong(settings: Settings) -> None:
    empty = Answer(200, {"leads": [], "scored_leads": 0, "model_version": "V"})
    api = ScriptedApi(Answer(503, {"detail": "the database is away"}), empty, CALL_LIST)
    found, reasons = first_call_list(api, settings)
    assert found is not None
    assert found.org_id == "z"
    assert reasons == {"default": "the database is away", "a": "none of its open leads has a score"}


def test_an_org_whose_leads_were_never_scored_is_no_news(settings: Settings) -> None:
    assert first_call_list(ScriptedApi(NOT_SCORED, NOT_SCORED, NOT_SCORED), settings) == (None, {})


def test_a_server_that_is_gone_is_no_reason_of_an_org(settings: Settings) -> None:
    with pytest.raises(CannotRun):
        first_call_list(ScriptedApi(), settings)


def test_a_row_has_rank_probability_grade_trend_and_the_first_reason() -> None:
    said = shown(CallList("default", 812, "V", [ENTRY]))
    assert "Call list of default: the first of 812 open leads, scored by version V" in said
    [row] = [line for line in said.splitlines() if line.startswith("│")]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == ["1", "lead 0", "0.760", "A", "↗ improving", "2 appointments booked: +26 points"]
    assert "curl -s 'http://here/api/v1/leads?org_id=default&limit=5'" in said
    assert "http://here/orgs/default" in said
    assert """http://here/api/v1/predict -H 'Content-Type: application/json'""" in said
    assert """ -d '{"org_id": "default", "lead_id": "lead 0"}'""" in said


def test_a_command_can_be_pasted_whatever_the_id_is() -> None:
    said = shown(CallList("default", 1, "V", [ENTRY | {"lead_id": "it's; rm -rf ~"}]))
    [command] = [line for line in said.splitlines() if "/predict" in line]
    assert json.loads(shlex.split(command)[-1]) == {"org_id": "default", "lead_id": "it's; rm -rf ~"}


def test_rows_fit_80_columns() -> None:
    long = ENTRY | {
        "lead_id": "3f2b8c1e-7d0a-4e55-9c1b-0a4d5e6f7a8b",
        "reasons": ["no message to the lead: +8 points"],
    }
    table = [
        line for line in shown(CallList("default", 812, "V", [long]), width=80).splitlines() if line[:1] in "┏┃┡│└"
    ]
    assert len(table) > 3
    assert max(map(len, table)) <= 80


def test_an_id_that_looks_like_markup_is_printed_as_it_is() -> None:
    assert "[red]x[/]" in shown(CallList("default", 812, "V", [ENTRY | {"lead_id": "[red]x[/]"}]))
