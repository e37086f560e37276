"""The example of a proxy: nginx takes it as it is, and it passes on what the two servers decide by."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leadscore.settings import PROJECT_ROOT, Settings

CONFIGURATION = PROJECT_ROOT / "deploy" / "nginx.conf"
TEXT = CONFIGURATION.read_text()
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")  # where only root's PATH leads
TOKEN = re.compile(r"#[^\n]*|'[^']*'|\"[^\"]*\"|[{};]|[^\s{};]+")

Directive = tuple[list[str], list[Any]]


def parsed(words: Iterator[str]) -> list[Directive]:
    """Return the directives up to the end of the block, each with its words and the directives inside it."""
    found: list[Directive] = []
    line: list[str] = []
    for word in words:
        if word == "}":
            assert not line, f"{line} does not end in a semicolon"
            return found
        if word in ("{", ";"):
            found.append((line, parsed(words) if word == "{" else []))
            line = []
        else:
            line.append(word)
    assert not line, f"{line} does not end in a semicolon"
    return found


def all_of(directives: list[Directive], name: str) -> list[tuple[list[str], list[Directive]]]:
    """Return the words and the insides of the directives of that name."""
    return [(words[1:], inside) for words, inside in directives if words[0] == name]


@pytest.fixture
def servers() -> dict[str, list[Directive]]:
    """Give the insides of nginx's servers by their names; those without one answer for every other name."""
    top = parsed(word for word in TOKEN.findall(TEXT) if not word.startswith("#"))
    ((_, http),) = all_of(top, "http")
    insides = [inside for _, inside in all_of(http, "server")]
    named = {
        " ".join(all_of(inside, "server_name")[0][0]): inside for inside in insides if all_of(inside, "server_name")
    }
    assert len(insides) - len(named) == 2
    return named


def test_the_proxy_encrypts_whatever_it_passes_on(servers: dict[str, list[Directive]]) -> None:
    assert TEXT.count("proxy_pass") == len(servers) == 2
    for inside in servers.values():
        assert all(words[:2] == ["443", "ssl"] for words, _ in all_of(inside, "listen"))


def test_the_proxy_reaches_both_servers_at_their_defaults(servers: dict[str, list[Directive]]) -> None:
    settings = Settings()
    passed = {}
    for name, inside in servers.items():
        ((_, location),) = all_of(inside, "location")
        passed[name] = all_of(location, "proxy_pass")[0][0]
    assert passed == {
        "scoring.example": [f"http://127.0.0.1:{settings.port}"],
        "dagster.example": [f"http://127.0.0.1:{settings.dagster_port}"],
    }
    assert f"client_max_body_size {settings.max_body_bytes};" in TEXT


def test_the_servers_see_the_name_that_the_client_used_and_dagster_its_sockets(
    servers: dict[str, list[Directive]],
) -> None:
    passed = re.findall(r"proxy_set_header (\S+)\s+(\S+);", TEXT)
    assert passed.count(("Host", "$http_host")) == 2
    ((_, location),) = all_of(servers["dagster.example"], "location")
    headers = dict(words for words, _ in all_of(location, "proxy_set_header"))
    assert headers == dict(passed)
    assert {"Host", "Upgrade", "Connection"} <= set(headers)


@pytest.mark.skipif(not (NGINX and shutil.which("openssl")), reason="nginx or openssl is not installed here")
def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    assert NGINX is not None
    request = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=example", "-newkey", "rsa:2048"]
    files = ["-keyout", "privkey.pem", "-out", "fullchain.pem"]
    subprocess.run([*request, *files], cwd=tmp_path, check=True, capture_output=True)
    # what only root may write, and the certificate that only its owner has
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {tmp_path};" for kind in kinds)
    text = TEXT.replace("http {", f"http {{ {folders}", 1)
    text = text.replace("/etc/ssl/leadscore", str(tmp_path)).replace("/var/log/nginx", str(tmp_path))
    (tmp_path / "nginx.conf").write_text(text)
    command = [NGINX, "-t", "-e", "stderr", "-g", f"pid {tmp_path}/pid;", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
