"""Kernels are compiled once, and kept under a name that says by which source and for which processor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leadscore.engine import native
from leadscore.settings import PROJECT_ROOT

MAKE_ONE = """
import numpy as np
from pathlib import Path
from leadscore.engine import native
native.KEPT_IN = Path({folder!r})
print(native.kernels() is not None)
"""


def load_in_a_new_process(folder: Path) -> None:
    code = MAKE_ONE.format(folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n", done.stderr


def test_kernels_are_compiled_once_and_kept_for_every_later_process(tmp_path: Path) -> None:
    load_in_a_new_process(tmp_path / "kept")
    [kept] = (tmp_path / "kept").iterdir()
    written = kept.stat().st_mtime_ns
    load_in_a_new_process(tmp_path / "kept")
    assert [path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()] == [written]


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    load_in_a_new_process(tmp_path / "file" / "kept")


def test_every_source_of_the_engine_is_part_of_the_name_of_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import llvmlite.binding as llvm  # noqa: PLC0415 (only this test asks it)

    names = []
    for source in sorted(native.SOURCES.glob("*.py")):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(native, "SOURCES", tmp_path)
    for source in sorted(tmp_path.iterdir()):
        names.append(native._key(llvm))
        source.write_bytes(source.read_bytes() + b"# changed")
    assert len(set(names)) == len(names) > 5


def test_the_processor_is_part_of_the_name_of_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    import llvmlite.binding as llvm  # noqa: PLC0415 (only this test asks it)

    here = native._key(llvm)
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: "another")
    assert native._key(llvm) != here


def test_many_processes_that_compile_at_once_keep_one_whole_file(tmp_path: Path) -> None:
    code = MAKE_ONE.format(folder=str(tmp_path))
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT_ROOT, env=os.environ) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 1
