"""A page runs and loads nothing, whatever its content."""

from __future__ import annotations

from serving.api.page import PAGE_TYPE, page


def test_a_page_forbids_scripts_and_what_lies_elsewhere():
    shown = page("<p>text", 404)
    assert (shown.status_code, shown.content_type, shown.data) == (404, PAGE_TYPE, b"<p>text")
    rules = shown.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in rules
    assert not any(rule.startswith("script-src") for rule in rules)
