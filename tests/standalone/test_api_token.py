"""The token with which a start asks its own server: there when one is asked for, and gone with the start."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from leadscore.settings import Settings
from leadscore.tokens import Tokens
from standalone.api import Api, token_of_a_start
from standalone.showcase import CallList, print_call_list
from standalone.state_dir import child_environment
from standalone.supervisor import run


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "state").mkdir()
    return Settings(state_dir=tmp_path / "state")


def test_a_start_has_no_token_where_none_is_asked_for(settings: Settings) -> None:
    with token_of_a_start(settings) as token:
        assert token is None
    Tokens(settings.tokens_path).new(scopes=["read"], orgs=["*"])
    with token_of_a_start(replace(settings, auth="OFF")) as token:
        assert token is None


def test_a_starts_token_trains_and_reads_every_org_and_ends_with_the_start(settings: Settings) -> None:
    tokens = Tokens(settings.tokens_path)
    _, first = tokens.new(scopes=["read"], orgs=["*"])
    with token_of_a_start(settings) as text:
        token = tokens.find(text or "")
        assert token is not None
        assert (token.scopes, token.orgs) == (("read", "train"), ("*",))
        assert token.expires_at is not None
    assert tokens.find(text or "") is None
    assert tokens.listed() == (first,)


def test_children_find_the_file_of_tokens_wherever_they_are_started(settings: Settings) -> None:
    assert child_environment(settings, {})["TOKENS_FILE"] == str(settings.state_dir / "tokens.json")
    elsewhere = replace(settings, tokens_file=Path("tokens.json"))
    assert child_environment(elsewhere, {})["TOKENS_FILE"] == str(Path.cwd() / "tokens.json")


def test_a_start_that_others_could_reach_is_refused_before_anything_is_started(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(replace(settings, host="0.0.0.0"), {}) == 1
    assert list(settings.state_dir.iterdir()) == []
    said = capsys.readouterr().out
    assert "has no tokens" in said
    assert "python -m leadscore.tokens new" in said


@pytest.mark.parametrize(("token", "is_named"), [(None, False), ("lsk_x", True)])
def test_the_printed_command_names_a_token_where_one_is_asked_for(token: str | None, is_named: bool) -> None:
    said = StringIO()
    print_call_list(Console(file=said, width=200), Api("http://here", token), CallList("a", 1, "V", []))
    assert ('-H "Authorization: Bearer $TOKEN"' in said.getvalue()) == is_named
    assert "lsk_" not in said.getvalue()
