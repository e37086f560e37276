"""What CONTRIBUTING.md names exists, and what a contributor has to choose from is named in it."""

from __future__ import annotations

import re

from leadscore.settings import PROJECT_ROOT
from tests.docs.documents import code_spans

TEXT = (PROJECT_ROOT / "CONTRIBUTING.md").read_text()
CODE = set(code_spans(TEXT))


def test_every_make_target_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {words.split()[1] for words in CODE if words.startswith("make ")}
    assert {"run", "test", "check", "lock"} <= named <= targets


def test_every_path_that_it_names_exists() -> None:
    paths = {words for words in CODE if re.fullmatch(r"[\w.]+(/[\w.]+)*/?", words) and re.search(r"[/.]", words)}
    assert len(paths) > 10
    made_by_the_commands = {".venv", ".venv/bin/python"}
    assert [path for path in sorted(paths - made_by_the_commands) if not (PROJECT_ROOT / path).exists()] == []


def test_its_examples_of_commits_keep_its_own_rule() -> None:
    commits = TEXT.split("## Commits")[1].split("## ")[0]
    five, whole = re.findall(r"```text\n(.*?)```", commits, re.DOTALL)
    subjects = [*five.splitlines(), whole.splitlines()[0]]
    assert len(subjects) == 6
    assert [subject for subject in subjects if not re.fullmatch(r"[a-z]+: .+", subject) or len(subject) > 65] == []


def test_it_names_every_package_and_every_benchmark() -> None:
    packages = {path.parent for depth in ("*", "*/*") for path in PROJECT_ROOT.glob(f"{depth}/__init__.py")}
    names = {str(path.relative_to(PROJECT_ROOT)) for path in packages if "benchmarks" not in path.parts}
    assert names <= {words.rstrip("/") for words in CODE}
    assert benchmark_commands() == set(re.findall(r"python -m (benchmarks[\w.]+)", TEXT))


def benchmark_commands() -> set[str]:
    """Return what is run: each module directly in a part of the benchmarks, and a part that is itself a command."""
    files = (path for path in (PROJECT_ROOT / "benchmarks").glob("*/*.py") if path.stem != "__init__")
    modules = (".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts) for path in files)
    return {module.removesuffix(".__main__") for module in modules}
