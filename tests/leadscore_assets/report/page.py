"""A report's page, taken apart for the tests."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br"}
WITHOUT_CONTENT = {"line", "polyline", "circle", "rect", "path"}

Attributes = list[tuple[str, str | None]]


class Page(HTMLParser):
    """Gathers a page's text, its tables, its links, what could load something, and whether its tags close."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str | None] = []
        self.links: list[str | None] = []
        self.loading: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.labels: list[str | None] = []
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        """Note what the tag opens, names, links to, and could load."""
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.labels += [given["aria-label"]] if "aria-label" in given else []
        self.handlers += [name for name in given if name.startswith("on")]
        self.loading += [tag] if tag in ("script", "link", "img", "iframe", "object", "form", "use") else []
        self.loading += [name for name in ("src", "srcset", "data") if name in given]
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        """Take only drawn shapes as tags without content."""
        assert tag in WITHOUT_CONTENT
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        """Take only the tag that is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text, and in a table its cell."""
        if "style" in self.open:
            return
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        """The page's text, with one space where there are more."""
        return re.sub(r"\s+", " ", "".join(self.texts))

    def table(self, first_heading: str) -> list[dict[str, list[str]]]:
        """Return the rows of the tables with this first heading, by their first cell."""
        found = [rows for rows in self.tables if rows[0][0].strip() == first_heading]
        return [{row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows[1:]} for rows in found]
