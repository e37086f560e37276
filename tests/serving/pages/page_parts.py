"""A page of HTML taken apart: its text, its links, and the names of its elements."""

from __future__ import annotations

from html.parser import HTMLParser

# those that have no end
VOID = {"meta", "input", "br", "link", "img"}


class PageParts(HTMLParser):
    """Collects what a page shows; `tables` has the texts of its cells, row by row, without the head."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.links: dict[str, str] = {}
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self._open: list[tuple[str, str]] = []
        self._words: list[str] = []
        self.feed(page)
        self.close()

    @property
    def text(self) -> str:
        """What a reader sees, with single spaces."""
        return " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("href") or ""))
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Note a text, and whose it is."""
        opened = [tag for tag, _ in self._open]
        if "style" in opened:
            return
        self._words.append(data)
        for tag, target in self._open:
            if tag == "a" and data.strip():
                self.links[data.strip()] = target
        if "td" in opened:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())
