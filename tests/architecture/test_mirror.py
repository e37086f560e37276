"""The tests mirror the packages: a test file names the module that it tests, and a module without one says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from leadscore.settings import PROJECT_ROOT

PACKAGES = ("leadscore", "leadscore_assets", "serving", "standalone")
# a benchmark is a program that people run, and states its own goals; only what tests there are have to stand in place
MIRRORED = (*PACKAGES, "benchmarks")
# modules, SQL, and scripts
SUFFIXES = (".py", ".sql", "")

WITHOUT_A_TEST = {
    "leadscore/engine/explain_kernel.py": "test_forest compares contributions with shap's, with and without kernels",
    "leadscore/engine/ir_builder.py": "what it writes is held by test_forest and test_scorer, which run it",
    "leadscore/engine/kernels.py": "what it writes is held by test_forest and test_scorer, which run it",
    "leadscore/engine/rank_kernel.py": "test_ranks compares its ranks with numpy's, on and beside thresholds",
    "leadscore/engine/walk_kernel.py": "test_forest compares the leaves with scikit-learn's, with and without kernels",
    "serving/api/schema.py": "types alone; test_openapi describes them, and the routes' tests send and read them",
    "serving/telemetry/events.py": "two tuples that test_recorder and test_metrics make",
    "serving/telemetry/request_context.py": "three looks into the environment; test_json_logging reads what they find",
    "standalone/crm_tables.sql": "test_crm and test_simulator make the tables, fill them, and meet their constraints",
}


def _files(package: str) -> Iterator[Path]:
    for path in sorted((PROJECT_ROOT / package).rglob("*")):
        is_cached = "__pycache__" in path.parts
        if path.is_file() and path.suffix in SUFFIXES and path.name != "__init__.py" and not is_cached:
            yield path.relative_to(PROJECT_ROOT)


def _name(path: Path) -> str:
    return path.stem.strip("_")


def _tested_by(test: Path) -> list[str]:
    """Return the files that a test is about: those with the longest name that its own begins with, in its folder."""
    folder, name = test.relative_to("tests").parent, test.stem.removeprefix("test_")
    found = [
        path
        for path in _files(test.parts[1])
        if path.parent == folder and (name == _name(path) or name.startswith(f"{_name(path)}_"))
    ]
    longest = max((len(_name(path)) for path in found), default=0)
    return [path.as_posix() for path in found if len(_name(path)) == longest]


def _tests(package: str) -> list[Path]:
    found = (PROJECT_ROOT / "tests" / package).rglob("test_*.py")
    return sorted(path.relative_to(PROJECT_ROOT) for path in found)


@pytest.mark.parametrize("package", MIRRORED)
def test_a_test_file_names_a_module_of_its_package_and_folder(package: str) -> None:
    tests = _tests(package)
    assert tests
    assert [test.as_posix() for test in tests if not _tested_by(test)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_has_a_test_file_of_its_own_or_says_why_not(package: str) -> None:
    tested = {module for test in _tests(package) for module in _tested_by(test)}
    modules = [path.as_posix() for path in _files(package)]
    assert [module for module in modules if module not in tested | WITHOUT_A_TEST.keys()] == []


@pytest.mark.parametrize("module", WITHOUT_A_TEST)
def test_a_module_that_says_why_it_has_no_test_is_there_and_has_none(module: str) -> None:
    assert (PROJECT_ROOT / module).is_file()
    assert [test for test in _tests(PurePosixPath(module).parts[0]) if module in _tested_by(test)] == []


def test_the_reasons_are_few_and_in_words() -> None:
    assert len(WITHOUT_A_TEST) <= 25
    assert [module for module, reason in WITHOUT_A_TEST.items() if len(reason.split()) < 5] == []


def test_a_test_is_of_the_module_with_the_longest_name() -> None:
    assert _tested_by(Path("tests/standalone/test_crm_source_given.py")) == ["standalone/crm_source.py"]
    assert _tested_by(Path("tests/standalone/test_main.py")) == ["standalone/__main__.py"]
    assert _tested_by(Path("tests/standalone/test_clean.py")) == ["standalone/clean"]
    outcomes = [f"leadscore_assets/source/outcomes.{suffix}" for suffix in ("py", "sql")]
    assert _tested_by(Path("tests/leadscore_assets/source/test_outcomes.py")) == outcomes
    assert _tested_by(Path("tests/leadscore_assets/test_outcomes.py")) == []
