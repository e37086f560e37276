"""The documents tell the truth: their tables are the code's, and what they name exists."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest

from leadscore.features import CONTRACT
from leadscore.settings import PROJECT_ROOT, Settings
from tests.docs.documents import (
    ALL,
    API,
    EXAMPLE,
    PROMISES,
    README,
    SETTINGS,
    TRAINING,
    anchors,
    blocks,
    code_spans,
    links,
    section,
    table_rows,
)

MOST_WORDS_IN_README = 900
each_document = pytest.mark.parametrize("document", ALL, ids=lambda path: path.name)
# the changelog also names what was there in earlier releases
each_of_today = pytest.mark.parametrize(
    "document", [path for path in ALL if path.name != "CHANGELOG.md"], ids=lambda path: path.name
)


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= MOST_WORDS_IN_README


def test_the_readmes_example_is_one_that_is_run() -> None:
    [example] = EXAMPLE.findall(README.read_text())

    assert example in EXAMPLE.findall(API.read_text())


def test_the_readme_leads_to_every_document() -> None:
    reached = {(README.parent / target).resolve() for target in links(README) if not target.endswith(".png")}

    assert reached == set(ALL) - {README}


@each_document
def test_every_link_leads_to_a_file_and_a_heading_that_exist(document: Path) -> None:
    for target in links(document):
        name, _, anchor = target.partition("#")
        linked = (document.parent / name).resolve() if name else document
        assert linked.exists(), f"{target} leads to no file"
        assert not anchor or anchor in anchors(linked), f"{target} leads to no heading"


@each_of_today
def test_every_make_command_that_is_named_exists(document: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    text = document.read_text()

    named = re.findall(r"\bmake ([a-z][a-z-]*)(?!\S)", "\n".join([*blocks("sh", text), *code_spans(text)]))
    assert set(named) <= set(targets)


@each_of_today
def test_every_module_that_is_named_can_be_run(document: Path) -> None:
    named = set(re.findall(r"python -m ([\w.]+)", document.read_text()))

    assert [name for name in sorted(named) if not can_be_run(name)] == []


def can_be_run(module: str) -> bool:
    """Say whether `python -m` finds the module, without importing it."""
    path = PROJECT_ROOT / module.replace(".", "/")
    if path.with_suffix(".py").exists() or (path / "__main__.py").exists():
        return True
    return "." not in module and importlib.util.find_spec(module) is not None


@each_of_today
def test_every_file_that_is_named_exists(document: Path) -> None:
    folder = r"(?:benchmarks|deploy|docs|leadscore|leadscore_assets|requirements|serving|standalone|tests)"
    named = [span for span in code_spans(document.read_text()) if re.fullmatch(rf"{folder}/[\w./-]+", span)]

    assert [name for name in named if not (PROJECT_ROOT / name).exists()] == []


def test_the_layouts_folders_exist() -> None:
    rows = table_rows(section(README, "Layout"))

    top = {name for row in rows for name in code_spans(row[0])}
    assert top >= {f"{path.parent.name}/" for path in PROJECT_ROOT.glob("*/__init__.py")}
    inner = {(row[0].strip("`"), name) for row in rows for name in code_spans(row[1]) if re.fullmatch(r"\w+/", name)}
    paths = {PROJECT_ROOT / name for name in top} | {PROJECT_ROOT / folder / name for folder, name in inner}
    assert [path for path in paths if not path.exists()] == []


def test_the_settings_table_is_the_codes() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table_rows(SETTINGS.read_text())}

    assert list(rows) == [field.name.upper() for field in fields(Settings)]
    for field in fields(Settings):
        default = field.default
        text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        text = text.lower() if isinstance(default, bool) else text
        assert rows[field.name.upper()] == ("none" if default is None else f"`{text}`", field.metadata["meaning"])


@each_of_today
def test_every_setting_that_is_named_exists(document: Path) -> None:
    of_compose = set(re.findall(r"^#?(\w+)=", (PROJECT_ROOT / ".env.example").read_text(), re.MULTILINE))
    known = {field.name.upper() for field in fields(Settings)} | of_compose

    named = {span.partition("=")[0] for span in code_spans(document.read_text())}
    assert {name for name in named if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", name)} <= known


def test_the_table_of_features_is_the_contracts() -> None:
    rows = table_rows(section(TRAINING, "Features"))

    assert rows == [(f"`{feature.name}`", feature.unit, feature.meaning) for feature in CONTRACT.features]


def test_every_promise_names_tests_that_exist() -> None:
    text = PROMISES.read_text()
    promises = re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]

    assert len(promises) == 15
    written = "\n".join(path.read_text() for path in (PROJECT_ROOT / "tests").rglob("test_*.py"))
    for promise in promises:
        named = re.findall(r"`(test_\w+)`", promise)
        assert named
        assert [name for name in named if f"def {name}(" not in written] == []
