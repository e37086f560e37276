"""When the webserver starts, and when it asks for tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from leadscore.settings import Settings
from leadscore.tokens import Tokens
from leadscore_assets.webserver.__main__ import asks_for_tokens, main


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tokens_file=tmp_path / "tokens.json")


def test_beyond_loopback_the_webserver_does_not_start_without_a_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOKENS_FILE", str(settings.tokens_path))
    assert main(["-w", "workspace.yaml", "-h", "0.0.0.0", "-p", "3000"]) == 1
    said = capsys.readouterr().err
    assert f"would listen on 0.0.0.0, which others can reach, and {settings.tokens_path} has no tokens." in said
    assert "python -m leadscore.tokens new --org '*' --scope operate" in said


@pytest.mark.parametrize(
    ("host", "auth", "before", "after"),
    [
        ("127.0.0.1", "AUTO", False, True),
        ("localhost", "AUTO", False, True),
        ("0.0.0.0", "AUTO", True, True),
        ("127.0.0.1", "OFF", False, False),
        ("0.0.0.0", "OFF", False, False),
    ],
)
def test_tokens_are_asked_for_beyond_loopback_and_once_there_are_any(
    settings: Settings, *, host: str, auth: str, before: bool, after: bool
) -> None:
    settings, tokens = replace(settings, host=host, auth=auth), Tokens(settings.tokens_path)
    assert asks_for_tokens(settings, tokens) is before
    tokens.new(scopes=["read"], orgs=["*"])
    assert asks_for_tokens(settings, tokens) is after
