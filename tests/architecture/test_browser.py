"""The browser that tests of pages use finds what it is there for: what sticks out, dark colours, printed sheets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import DESK, PHONE, Browser, sheets

PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>
:root {{ color-scheme: light dark }} body {{ margin: 0 }} p {{ width: {width}px }}
@media print {{ p {{ height: 150vh }} }}
</style><p id="wide">Größe &amp; "Rest"</p>"""


def test_a_page_that_is_too_wide_for_a_phone_is_noticed(browser: Browser) -> None:
    narrow, wide = browser.layouts([PAGE.format(width=380), PAGE.format(width=500)], PHONE)
    assert (narrow.fits, narrow.view, narrow.outside) == (True, PHONE, [])
    assert (wide.fits, wide.width, wide.outside) == (False, 500, ['<p id="wide"></p>'])
    assert all(layout.fits for layout in browser.layouts([PAGE.format(width=500)], DESK))


def test_a_page_is_shown_in_the_colours_that_were_asked_for(browser: Browser) -> None:
    [light], [dark] = (browser.layouts([PAGE.format(width=9)], PHONE, is_dark=is_dark) for is_dark in (False, True))
    assert (light.color, dark.color) == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")


def test_printed_sheets_are_counted(browser: Browser) -> None:
    assert sheets(browser.printed(PAGE.format(width=9))) == 2


def test_a_picture_has_the_width_that_was_asked_for(browser: Browser, tmp_path: Path) -> None:
    browser.picture(PAGE.format(width=9), tmp_path / "page.png", width=PHONE, height=300)
    content = (tmp_path / "page.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (PHONE, 300)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_browser_tests_are_skipped_except_where_a_change_is_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="`apt-get install chromium` installs it"):
        Browser.found()
