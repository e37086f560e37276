"""The documents as the tests read them: their text, code blocks, sections, tables, links and anchors."""

from __future__ import annotations

import re
from pathlib import Path

from leadscore.settings import PROJECT_ROOT

README = PROJECT_ROOT / "README.md"
API = PROJECT_ROOT / "docs/api.md"
BACKUP = PROJECT_ROOT / "docs/backup.md"
OPERATIONS = PROJECT_ROOT / "docs/operations.md"
PROMISES = PROJECT_ROOT / "docs/promises.md"
SETTINGS = PROJECT_ROOT / "docs/settings.md"
TRAINING = PROJECT_ROOT / "docs/training.md"
ALL = (
    README,
    PROJECT_ROOT / "CONTRIBUTING.md",
    PROJECT_ROOT / "CHANGELOG.md",
    *sorted((PROJECT_ROOT / "docs").glob("*.md")),
)
EXAMPLE = re.compile(r"```sh\n(curl .*?)```(?:\n\n```json\n(.*?)```)?", re.DOTALL)


def blocks(language: str, text: str) -> list[str]:
    """Return the fenced blocks of a language, with the indentation of a list taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def section(document: Path, title: str) -> str:
    """Return what stands below a heading, up to the next one of its level."""
    return document.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def table_rows(text: str) -> list[tuple[str, ...]]:
    """Return the cells of all rows whose first cell begins with code."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def code_spans(text: str) -> list[str]:
    """Return what stands between single backticks."""
    return re.findall(r"`([^`\n]+)`", without_blocks(text))


def links(document: Path) -> list[str]:
    """Return the targets of a document's links that lead to files and headings of the project."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_blocks(document.read_text()))
    return [target for target in targets if "://" not in target]


def anchors(document: Path) -> set[str]:
    """Return the names by which a link can reach the document's headings, as GitHub and most others make them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(document.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_blocks(text: str) -> str:
    """Return the text without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)
