"""A real browser for the tests of pages: headless Chromium, which measures, pictures and prints a page.

Each page stands in a frame of the asked width, because a browser's window is never narrower than 500 pixels. The page
comes as text, so that a test may ask the app's own client for it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from standalone.pictures import OPTIONS, PROGRAMS

DARK = "--blink-settings=preferredColorScheme=0"
TIMEOUT_SECONDS = 90
PHONE, DESK = 390, 1_200  # widths in CSS pixels

FRAME = '<iframe style="border:0;display:block;width:{width}px;height:{height}px" srcdoc="{page}"></iframe>'
PICTURED = '<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">{frame}'
MEASURED = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">{frames}<pre id="found"></pre><script>
addEventListener("load", () => {
  const layouts = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement, view = root.clientWidth;
    const parts = [...page.body.querySelectorAll("*")];
    const outside = parts.filter(part => part.getBoundingClientRect().right > view + 0.5);
    const style = frame.contentWindow.getComputedStyle(page.body);
    return {
      width: root.scrollWidth, view, height: root.scrollHeight, color: style.color, background: style.backgroundColor,
      outside: outside.slice(-3).map(part => part.cloneNode(false).outerHTML)
    };
  });
  document.getElementById("found").textContent = JSON.stringify(layouts);
});
</script>"""


class Layout(NamedTuple):
    """How a page is laid out: sizes in CSS pixels, the body's colours, and the parts that stick out of the view."""

    width: int
    view: int
    height: int
    color: str
    background: str
    outside: list[str]

    @property
    def fits(self) -> bool:
        """Whether nobody has to scroll sideways."""
        return self.width <= self.view


class Browser:
    """A browser's program, started anew for each question."""

    def __init__(self, program: str) -> None:
        self.program = program

    @staticmethod
    def found() -> Browser:
        """Return this machine's browser. Without one the test is skipped or, where CI is true, fails."""
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            stop("pages are tested in Chromium, which is not installed here: `apt-get install chromium` installs it")
        return Browser(program)

    def layouts(self, pages: Sequence[str], width: int, *, is_dark: bool = False) -> list[Layout]:
        """Return how each page is laid out at that width, for one start of the browser."""
        frames = "".join(_frame(page, width, 800) for page in pages)
        with tempfile.TemporaryDirectory(prefix="leadscore-") as folder:
            content = self._opened(Path(folder), MEASURED.replace("{frames}", frames), "--dump-dom", is_dark=is_dark)
        found = re.search(r'<pre id="found">(.+?)</pre>', content.decode(), re.DOTALL)
        assert found, "the browser did not measure the pages"
        return [Layout(**layout) for layout in json.loads(unescape(found[1]))]

    def picture(self, page: str, file: Path, *, width: int, height: int, is_dark: bool = False) -> None:
        """Write a picture (PNG) of the upper part of the page to `file`."""
        size = (f"--window-size={width},{height}", f"--screenshot={file}")
        with tempfile.TemporaryDirectory(prefix="leadscore-") as folder:
            framed = PICTURED.replace("{frame}", _frame(page, width, height))
            self._opened(Path(folder), framed, *size, is_dark=is_dark)

    def printed(self, page: str) -> bytes:
        """Return the page as it is printed, a PDF."""
        with tempfile.TemporaryDirectory(prefix="leadscore-") as folder:
            file = Path(folder) / "printed.pdf"
            self._opened(Path(folder), page, f"--print-to-pdf={file}", "--no-pdf-header-footer")
            return file.read_bytes()

    def _opened(self, folder: Path, content: str, *options: str, is_dark: bool = False) -> bytes:
        """Open a page of that content, and return what the browser writes to its output."""
        page = folder / "page.html"
        page.write_text(content, encoding="utf-8")
        scheme = (DARK,) if is_dark else ()
        command: list[Any] = [self.program, *OPTIONS, *scheme, f"--user-data-dir={folder / 'profile'}", *options]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=TIMEOUT_SECONDS, check=True)
        return done.stdout


def sheets(pdf: bytes) -> int:
    """Return how many pages a PDF of the browser has."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def _frame(page: str, width: int, height: int) -> str:
    return FRAME.format(width=width, height=height, page=escape(page))
