"""The documents' pictures are all there and small, and the command that takes them makes no picture of an error."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from leadscore.errors import CannotRun
from leadscore.settings import PROJECT_ROOT, Settings
from standalone import pictures as command
from standalone.pictures import FOLDER, PROGRAMS, Picture, main, pictures, take
from tests.browser import Browser

MAX_BYTES = 200_000
NAMES = {picture.name for picture in pictures(Settings())}


class Pages(BaseHTTPRequestHandler):
    """Answers /page with a page, and everything else with 404."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/page" else 404)
        self.end_headers()
        self.wfile.write(b"<h1>A page</h1>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Give the address of a server with one page."""
    server = HTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def size(file: Path) -> tuple[int, int]:
    """Return the width and the height of a PNG."""
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_the_documents_have_every_picture_and_none_is_large() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == NAMES
    for picture in pictures(Settings()):
        file = FOLDER / f"{picture.name}.png"
        assert file.stat().st_size <= MAX_BYTES
        assert size(file) == (picture.width * picture.scale, picture.height * picture.scale)


def test_every_picture_is_in_a_document_with_words_for_those_who_do_not_see_it() -> None:
    documents = [PROJECT_ROOT / "README.md", *(PROJECT_ROOT / "docs").glob("*.md")]
    text = "".join(document.read_text() for document in documents)
    for name in NAMES:
        assert f"pictures/{name}.png)" in text
    assert "![](" not in text


def test_the_pictures_are_of_the_system_that_the_settings_name() -> None:
    settings = Settings(port=5050, dagster_port=3030)
    servers = {picture.name: picture.address.split("/")[2].partition(":")[2] for picture in pictures(settings)}
    assert servers == {"lineage": "3030", "evaluation": "3030", "call-list": "5050", "report": "5050"}


def test_a_picture_has_the_size_that_was_asked_for(browser: Browser, address: str, tmp_path: Path) -> None:
    file = take(browser.program, Picture("it", f"{address}/page", 800, 400, 0.5), tmp_path)
    assert file == tmp_path / "it.png"
    assert size(file) == (400, 200)


def test_a_page_that_is_not_there_is_no_picture(address: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="/nowhere answers 404, not 200"):
        take("unused", Picture("it", f"{address}/nowhere", 800, 400), tmp_path)
    with pytest.raises(CannotRun, match="Start the demo by `make run`"):
        take("unused", Picture("it", "http://127.0.0.1:9/", 800, 400), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_browser_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotRun):
        command.browser()
    assert main([]) == 1
    assert f"none of {', '.join(PROGRAMS)} is installed" in capsys.readouterr().err
