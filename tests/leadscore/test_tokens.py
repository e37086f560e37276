"""Tokens: who is let in, what the file holds, and that nothing but a good token in a good file opens the door."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadscore.errors import InvalidToken, TokensUnavailable
from leadscore.settings import PROJECT_ROOT
from leadscore.tokens import SCOPES, Token, Tokens, main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tokens.json"


@pytest.fixture
def tokens(path: Path) -> Tokens:
    return Tokens(path)


def made(tokens: Tokens, *scopes: str, org: str = "acme", **more: object) -> tuple[str, Token]:
    return tokens.new(scopes=scopes or ("score",), orgs=[org], **more)  # type: ignore[arg-type]


def moved(path: Path) -> None:
    """Give the file another time, as any later change does."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def test_a_token_that_was_made_is_found_by_its_text_alone(tokens: Tokens) -> None:
    text, token = made(tokens)
    assert tokens.find(text) == token
    assert tokens.find(f" {text}") is None
    assert tokens.find(text.upper()) is None
    assert tokens.find(text + "\n") is None
    assert tokens.find("") is None


def test_the_secret_has_192_bits_and_is_nowhere_in_the_file(tokens: Tokens, path: Path) -> None:
    text, token = made(tokens)
    prefix, token_id, secret = text.split("_")
    assert (prefix, token_id) == ("lsk", token.id)
    assert len(bytes.fromhex(secret)) * 8 == 192
    assert secret not in path.read_text()
    assert secret not in repr(token)


def test_only_its_owner_can_read_the_file_whatever_the_umask(tokens: Tokens, path: Path) -> None:
    before = os.umask(0)
    try:
        made(tokens)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_two_tokens_of_one_holder_are_valid_until_one_is_revoked(tokens: Tokens) -> None:
    (old, first), (new, second) = made(tokens), made(tokens)
    assert (tokens.find(old), tokens.find(new)) == (first, second)
    tokens.revoke(first.id)
    assert (tokens.find(old), tokens.find(new)) == (None, second)
    assert tokens.listed() == (second,)


def test_another_process_sees_a_new_and_a_revoked_token_at_once(tokens: Tokens, path: Path) -> None:
    server = Tokens(path)
    assert not server.are_configured
    text, token = made(tokens)
    assert server.are_configured
    assert server.find(text) == token
    tokens.revoke(token.id)
    assert server.find(text) is None


def test_a_file_without_tokens_is_configured_and_lets_nobody_in(tokens: Tokens, path: Path) -> None:
    text, token = made(tokens)
    tokens.revoke(token.id)
    again = Tokens(path)
    assert again.are_configured
    assert again.find(text) is None


def test_an_expired_token_is_not_found(tokens: Tokens) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    text, token = made(tokens, expires_at=soon)
    assert tokens.find(text) == token
    assert token.is_expired(soon)
    threading.Event().wait(0.35)
    assert tokens.find(text) is None
    assert tokens.listed() == (token,)


def test_the_secret_of_one_token_does_not_open_with_the_id_of_another(tokens: Tokens) -> None:
    (one, _), (other, _) = made(tokens), made(tokens)
    assert tokens.find("_".join([*one.split("_")[:2], other.split("_")[2]])) is None


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_gives_that_right_alone(tokens: Tokens, scope: str) -> None:
    _, token = made(tokens, scope)
    assert [right for right in SCOPES if token.may(right)] == [scope]


def test_a_token_sees_its_orgs_alone_and_with_a_star_every_one(tokens: Tokens) -> None:
    _, bound = tokens.new(scopes=["read"], orgs=["acme", "b.o@x:1-2_3"])
    _, free = made(tokens, "read", org="*")
    orgs = ("acme", "b.o@x:1-2_3", "other", "_pooled", "", "*")
    assert [bound.sees(org) for org in orgs] == [True, True, False, False, False, False]
    assert all(map(free.sees, orgs))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"not json",
        b'{"tokens": [{}]}',
        b'{"tokens": null}',
        b'{"tokens": [], "more": 1}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_an_error_and_never_an_open_door(tokens: Tokens, path: Path, content: bytes) -> None:
    text, _ = made(tokens)
    path.write_bytes(content)
    for asked in (tokens, Tokens(path)):
        assert asked.are_configured
        with pytest.raises(TokensUnavailable, match="file of tokens"):
            asked.find(text)
        with pytest.raises(TokensUnavailable):
            asked.listed()
    with pytest.raises(TokensUnavailable):
        made(tokens)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "x"),
        ("id", "0123456789\n"),
        ("sha256", ""),
        ("sha256", None),
        ("scopes", []),
        ("scopes", ["everything"]),
        ("orgs", []),
        ("orgs", ["*", "acme"]),
        ("orgs", ["../acme"]),
        ("expires_at", "2027-01-01T00:00:00"),
        ("expires_at", "soon"),
        ("only_from", "10.0.0.0/8"),
    ],
)
def test_a_token_in_the_file_that_breaks_a_rule_makes_it_damaged(
    tokens: Tokens, path: Path, field: str, value: object
) -> None:
    text, _ = made(tokens)
    document = json.loads(path.read_text())
    document["tokens"][0][field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(TokensUnavailable):
        tokens.find(text)


def test_an_id_that_stands_twice_makes_the_file_damaged(tokens: Tokens, path: Path) -> None:
    text, _ = made(tokens)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({"tokens": document["tokens"] * 2}))
    with pytest.raises(TokensUnavailable, match="twice"):
        tokens.find(text)


def test_a_file_that_vanishes_opens_no_door(tokens: Tokens, path: Path) -> None:
    text, _ = made(tokens)
    tokens.find(text)
    path.unlink()
    assert tokens.are_configured
    with pytest.raises(TokensUnavailable, match="gone"):
        tokens.find(text)


def test_a_pipe_or_a_folder_in_the_files_place_makes_nobody_wait(tokens: Tokens, path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(TokensUnavailable):
        tokens.find("lsk_0123456789_" + "0" * 48)
    path.unlink()
    path.mkdir()
    with pytest.raises(TokensUnavailable):
        tokens.find("lsk_0123456789_" + "0" * 48)


def test_the_file_is_read_again_only_when_it_changed(
    tokens: Tokens, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = made(tokens)
    tokens.find(text)
    loads = []
    load = Tokens._load
    monkeypatch.setattr(Tokens, "_load", lambda self: loads.append(1) or load(self))  # type: ignore[func-returns-value]
    for _ in range(5):
        tokens.find(text)
    assert not loads
    moved(path)
    tokens.find(text)
    assert loads == [1]


def test_tokens_made_at_the_same_time_are_all_kept(tokens: Tokens, path: Path) -> None:
    texts: list[str] = []
    makers = [threading.Thread(target=lambda: texts.append(made(Tokens(path))[0])) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(texts) == 8
    assert all(map(tokens.find, texts))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scopes": []}, "one or more scopes"),
        ({"scopes": ["write"]}, "one or more scopes"),
        ({"orgs": []}, "bound to orgs"),
        ({"orgs": ["*", "acme"]}, "'\\*' alone"),
        ({"orgs": ["a/b"]}, "by their ids"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "name a later time"),
        ({"note": "two\nlines"}, "one line"),
        ({"note": "x" * 201}, "200 characters"),
    ],
)
def test_what_breaks_a_rule_makes_no_token(tokens: Tokens, path: Path, wrong: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidToken, match=says):
        tokens.new(**{"scopes": ["read"], "orgs": ["acme"], **wrong})  # type: ignore[arg-type]
    assert not path.exists()


@given(st.one_of(st.text(), st.from_regex(r"lsk_[0-9a-f]{10}_[0-9a-f]{48}", fullmatch=True), st.from_regex(r"lsk_.*")))
def test_no_text_but_a_tokens_own_is_found(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "property" / "tokens.json"
    tokens = Tokens(path)
    own = made(tokens)[0] if not path.exists() else ""
    assert text == own or tokens.find(text) is None


def test_without_a_file_nothing_is_configured_and_nothing_can_be_made() -> None:
    tokens = Tokens(None)
    assert not tokens.are_configured
    assert tokens.listed() == ()
    with pytest.raises(InvalidToken, match="TOKENS_FILE"):
        made(tokens)


# the command


@pytest.fixture
def _file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENS_FILE", str(path))


@pytest.mark.usefixtures("_file")
def test_the_command_makes_lists_and_revokes(tokens: Tokens, capsys: pytest.CaptureFixture[str]) -> None:
    made_one = [
        "new",
        "--org",
        "acme",
        "--scope",
        "read",
        "--scope",
        "score",
        "--expires",
        "2999-01-01",
        "--note",
        "CRM",
    ]
    assert main(made_one) == 0
    text = capsys.readouterr().out.strip()
    token = tokens.find(text)
    assert token is not None
    assert (token.scopes, token.orgs, token.note) == (("score", "read"), ("acme",), "CRM")
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert token.id in shown
    assert "expires 2999-01-01 00:00" in shown
    assert text.split("_")[2] not in shown
    assert main(["revoke", token.id]) == 0
    assert tokens.find(text) is None


@pytest.mark.usefixtures("_file")
def test_the_first_token_is_made_once(tokens: Tokens, capsys: pytest.CaptureFixture[str]) -> None:
    first = ["new", "--if-none", "--org", "*", "--scope", "read"]
    assert main(first) == main(first) == 0
    assert capsys.readouterr().out.count("lsk_") == 1
    assert len(tokens.listed()) == 1


@pytest.mark.usefixtures("_file")
def test_a_token_is_kept_in_a_file_and_made_again_only_when_that_one_ended(
    tokens: Tokens, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    into = ["new", "--into", str(kept), "--org", "*", "--scope", "metrics"]
    assert main(into) == main(into) == 0
    assert "lsk_" not in capsys.readouterr().out
    first = tokens.find(kept.read_text().strip())
    assert first is not None
    assert tokens.listed() == (first,)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    tokens.revoke(first.id)
    assert main(into) == 0
    assert tokens.find(kept.read_text().strip()) not in (None, first)
    assert main(["new", "--into", str(tmp_path / "no" / "kept"), "--org", "*", "--scope", "metrics"]) == 1
    assert "cannot be written" in capsys.readouterr().err


INTO = ["new", "--org", "*", "--scope", "metrics", "--into"]


class Killed(BaseException):
    """The process ends here."""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("_file")
@pytest.mark.parametrize(("owner", "step"), [(os, "open"), (os, "fchmod"), (os, "fsync"), (Path, "replace")])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_kept_token_has_its_name_only_with_its_mode(  # noqa: PLR0917 (each step, with and without an old file)
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, step: str, is_there: bool
) -> None:
    """A process that is killed before any step leaves the file as it was, or none, and the next start makes it."""
    kept = tmp_path / "kept"
    if is_there:
        assert main([*INTO, str(kept)]) == 0
        tokens.revoke(tokens.listed()[0].id)
    before = kept.read_bytes() if is_there else None
    do = getattr(owner, step)

    def killed(target: Any, *arguments: Any, **options: Any) -> Any:
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(target)
        if path.name.startswith(".partial-kept"):
            raise Killed
        return do(target, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, killed)
        with pytest.raises(Killed):
            main([*INTO, str(kept)])
    assert (kept.read_bytes() if kept.exists() else None) == before
    assert not is_there or mode_of(kept) == 0o640
    assert main([*INTO, str(kept)]) == 0
    assert tokens.find(kept.read_text().strip()) is not None
    assert mode_of(kept) == 0o640


@pytest.mark.usefixtures("_file")
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o644])
def test_a_later_start_repairs_the_mode_of_a_kept_token(tokens: Tokens, tmp_path: Path, mode: int) -> None:
    kept = tmp_path / "kept"
    assert main([*INTO, str(kept)]) == 0
    text = kept.read_text()
    kept.chmod(mode)
    assert main([*INTO, str(kept)]) == 0
    assert (kept.read_text(), mode_of(kept)) == (text, 0o640)
    assert len(tokens.listed()) == 1


@pytest.mark.usefixtures("_file")
def test_the_mode_of_another_users_file_stays_and_one_that_cannot_be_set_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    assert main([*INTO, str(kept)]) == 0
    kept.chmod(0o600)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: kept.stat().st_uid + 1)
        assert main([*INTO, str(kept)]) == 0
    assert mode_of(kept) == 0o600

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    capsys.readouterr()
    monkeypatch.setattr(Path, "chmod", refused)
    assert main([*INTO, str(kept)]) == 1
    assert "cannot be set to 0640 (Operation not permitted)" in capsys.readouterr().err


@pytest.mark.usefixtures("_file")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["new", "--org", "a b", "--scope", "read"], "by their ids"),
        (["new", "--org", "acme", "--scope", "read", "--expires", "soon"], "--expires is not a date"),
        (["new", "--org", "acme", "--scope", "read", "--expires", "2020-01-01"], "name a later time"),
        (["revoke", "0123456789"], "no token has this id"),
    ],
)
def test_the_command_says_in_words_what_is_wrong(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert says in capsys.readouterr().err


def test_the_command_starts_without_flask_or_dagster(path: Path) -> None:
    code = (
        "import sys; from leadscore.tokens import main;"
        "main(['new', '--org', 'acme', '--scope', 'read']);"
        "sys.exit(bool({'flask', 'dagster'} & set(sys.modules)))"
    )
    environment = {**os.environ, "TOKENS_FILE": str(path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("lsk_")


def test_the_tokens_of_an_org_are_those_that_name_it(tokens: Tokens) -> None:
    for orgs in (["acme", "globex"], ["globex"], ["*"]):
        tokens.new(scopes=["score"], orgs=orgs)
    both, one, _ = tokens.listed()
    assert (tokens.of_org("acme"), tokens.of_org("globex"), tokens.of_org("initech")) == ((both,), (both, one), ())
