"""The engine's outside: what it lays out is checked, what it compiled is kept, and nothing depends on it."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadscore.engine import native
from leadscore.engine.boxes import LANES, PART, Boxes, quadrature
from leadscore.engine.nodes import Nodes
from leadscore.engine.scorer import Scorer
from leadscore.errors import Damaged
from leadscore.forest import Forest
from leadscore.settings import PROJECT_ROOT

ROWS = np.array([[1.0, *[0.0] * 10], [2.0, *[0.0] * 10], [np.nan, *[0.0] * 10]])
SCORES = [0.25, 0.75, 0.25]
MAKE_ONE = """
import numpy as np
from pathlib import Path
from leadscore.engine import native
native.KEPT_IN = Path({folder!r})
print(native.kernels() is not None)
"""


@pytest.fixture
def fresh() -> None:
    """Forget the kernels that this process holds, before and after."""
    native.kernels.cache_clear()
    yield
    native.kernels.cache_clear()


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


@pytest.mark.usefixtures("fresh")
def test_without_the_compiler_the_scores_are_the_same_and_the_log_says_why(
    make_forest: Callable[..., Forest], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    with caplog.at_level(logging.WARNING):
        assert native.kernels() is None
    assert "computed with numpy" in caplog.text
    forest = make_forest()
    assert forest.probabilities(ROWS) == pytest.approx(SCORES)
    assert forest.base_value + forest.contributions(ROWS).sum(axis=1) == pytest.approx(SCORES)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 16, 17, 33])
def test_any_number_of_rows_is_scored_in_order(make_forest: Callable[..., Forest], count: int) -> None:
    assert native.kernels() is not None
    rows = np.resize(ROWS, (count, 11))
    probabilities, votes = make_forest().verdicts(rows)
    assert probabilities.tolist() == np.resize(SCORES, count).tolist()
    assert votes.tolist() == np.resize([0.0, 1.0, 0.0], count).tolist()


def test_columns_beyond_all_features_change_nothing(make_forest: Callable[..., Forest]) -> None:
    """A row's values have room for as many as a forest may have features, and may be followed by more."""
    assert native.kernels() is not None
    wide = np.full((5, 300), 9.0)
    wide[:3, 0] = ROWS[:, 0]
    assert make_forest().probabilities(wide)[:3].tolist() == SCORES


@pytest.mark.parametrize("unknown_goes_left", [False, True])
def test_a_split_of_unknown_values_from_all_others_is_exact(unknown_goes_left: bool) -> None:
    """scikit-learn writes an infinite threshold where knowing the value is all that matters."""
    forest = Forest(
        feature=np.array([0, -1, -1], np.int16),
        threshold=np.array([-np.inf if unknown_goes_left else np.inf, 0, 0], np.float32),
        left=np.array([1, -1, -1], np.int32),
        right=np.array([2, -1, -1], np.int32),
        missing_goes_left=np.array([unknown_goes_left, False, False]),
        value=np.array([0.5, 0.25, 0.75]),
        cover=np.array([8.0, 4.0, 4.0]),
        roots=np.array([0], np.int32),
    )
    assert native.kernels() is not None
    known, unknown = (0.75, 0.25) if unknown_goes_left else (0.25, 0.75)
    rows = np.array([[-3e38], [np.nan], [0.0], [3e38], [np.nan]])
    assert forest.probabilities(rows).tolist() == [known, unknown, known, known, unknown]


def test_rows_without_a_column_for_every_feature_are_refused(make_forest: Callable[..., Forest]) -> None:
    """The kernels look at no bounds, so this is looked at before."""
    forest = dataclasses.replace(make_forest(), feature=np.array([3, -1, -1], np.int16))
    for score in (forest.probabilities, forest.contributions):
        with pytest.raises(ValueError, match="do not hold the 4 features"):
            score(np.zeros((1, 3)))
        with pytest.raises(ValueError, match="do not hold the 4 features"):
            score(np.zeros(4))


def test_boxes_that_do_not_fill_their_arrays_are_no_boxes(make_forest: Callable[..., Forest]) -> None:
    boxes = make_forest().scorer.boxes
    assert boxes.is_sound(11)
    assert not boxes.is_sound(0)
    wrong: list[Boxes] = [
        dataclasses.replace(boxes, groups=boxes.groups + np.array(change)) for change in np.eye(4, dtype=int).tolist()
    ]
    wrong += [
        dataclasses.replace(boxes, groups=np.repeat(boxes.groups, 2, axis=0)),
        dataclasses.replace(boxes, groups=boxes.groups * [1, 1, 1, 0]),
        dataclasses.replace(boxes, groups=boxes.groups * [1, 1, 1, 2**30]),
        dataclasses.replace(boxes, groups=boxes.groups * [1, 1, 1, -1]),
        dataclasses.replace(boxes, path_features=boxes.path_features + np.uint8(1)),
        dataclasses.replace(boxes, path_features=np.zeros(0, np.uint8)),
        dataclasses.replace(boxes, path_features=np.zeros(12, np.uint8)),
        dataclasses.replace(boxes, blocks=boxes.blocks[:-1]),
        dataclasses.replace(boxes, lets_unknown=boxes.lets_unknown[:-1]),
        dataclasses.replace(boxes, values=boxes.values[:-1]),
    ]
    assert not any(some.is_sound(11) for some in wrong)


def _changed(nodes: Nodes, name: str, index: int, value: Any) -> Nodes:
    array = getattr(nodes, name).copy()
    array[index] = value
    return dataclasses.replace(nodes, **{name: array})


FORGED: dict[str, Callable[[Nodes], Nodes]] = {
    "a left child beyond the last": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) + (9 << 40)),
    "a right child beyond the last": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) + (2 << 40)),
    "a child before its parent": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) - (1 << 40)),
    "a feature that a row has not": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) | (11 << 32)),
    "a threshold that is no number": lambda nodes: _changed(nodes, "words", 0, int(nodes.words[0]) | 0x7FC00000),
    "a leaf that may be left again": lambda nodes: _changed(nodes, "words", 3, int(nodes.words[3]) & ~(0x80 << 32)),
    "a root beyond the last": lambda nodes: _changed(nodes, "roots", 15, 4),
    "a root before the first": lambda nodes: _changed(nodes, "roots", 0, -1),
    "roots that are no whole pack": lambda nodes: dataclasses.replace(nodes, roots=nodes.roots[:15]),
    "more trees than roots": lambda nodes: dataclasses.replace(nodes, trees=17),
    "no tree": lambda nodes: dataclasses.replace(nodes, trees=0),
    "no depth": lambda nodes: dataclasses.replace(nodes, depth=-1),
    "a depth without end": lambda nodes: dataclasses.replace(nodes, depth=2**62),
    "fewer values than nodes": lambda nodes: dataclasses.replace(nodes, values=nodes.values[:-1]),
    "no nodes": lambda nodes: dataclasses.replace(nodes, words=nodes.words[:0], values=nodes.values[:0]),
    "a share above 1": lambda nodes: _changed(nodes, "values", 1, 1.5),
    "a share that is no number": lambda nodes: _changed(nodes, "values", 1, np.nan),
    "a padding that counts": lambda nodes: _changed(nodes, "values", 3, 0.5),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_nodes_on_which_a_walk_could_go_astray_are_refused(forgery: str, make_forest: Callable[..., Forest]) -> None:
    """The kernels look at no bounds and always end; what they are given is looked at before."""
    scorer = make_forest().scorer
    assert scorer.nodes.is_sound(11)
    forged = dataclasses.replace(scorer, nodes=FORGED[forgery](scorer.nodes))
    assert not forged.nodes.is_sound(11)
    with pytest.raises(Damaged, match="the engine's arrays do not fit each other"):
        Scorer.from_arrays(forged.to_arrays(), 11)


def test_arrays_of_other_names_types_or_shapes_are_no_scorer(make_forest: Callable[..., Forest]) -> None:
    arrays = make_forest().scorer.to_arrays()
    with pytest.raises(Damaged, match="expected"):
        Scorer.from_arrays({name: array for name, array in arrays.items() if name != "words"}, 11)
    wrong = [{name: array[None]} for name, array in arrays.items()] + [
        {name: np.zeros_like(array, np.int16)} for name, array in arrays.items()
    ]
    wrong += [{"trees_and_depth": np.array([1], np.int64)}, {"groups": arrays["groups"][:, :3]}]
    for changed in wrong:
        with pytest.raises(Damaged, match="do not fit each other"):
            Scorer.from_arrays(arrays | changed, 11)


def test_a_forest_that_is_too_large_for_the_engine_is_refused_with_what_to_do(
    make_forest: Callable[..., Forest],
) -> None:
    wide = dataclasses.replace(make_forest(), feature=np.array([127, -1, -1], np.int16))
    with pytest.raises(ValueError, match="at most 127 features are expected; train a smaller one"):
        wide.scorer.probabilities(ROWS)
    widest = dataclasses.replace(make_forest(), feature=np.array([126, -1, -1], np.int16)).scorer
    rows = np.zeros((5, 127))
    rows[:, 126] = [1, 2, 1, 2, np.nan]
    assert widest.probabilities(rows).tolist() == [0.25, 0.75, 0.25, 0.75, 0.25]


def test_one_row_explained_is_the_row_of_a_batch(make_forest: Callable[..., Forest]) -> None:
    scorer = make_forest().scorer
    for row, contributions, *verdict in zip(ROWS, scorer.contributions(ROWS), *scorer.verdicts(ROWS), strict=True):
        assert scorer.explain(row.tolist()) == (*verdict, contributions.tolist())
    with pytest.raises(ValueError, match="a row of 0 does not hold the 1 features"):
        scorer.explain([])


def test_a_part_is_as_large_as_the_kernels_believe() -> None:
    """Two uint16 and a float32 for each of its leaves, one after the other."""
    assert (LANES, PART.itemsize) == (16, 128)
    assert {name: offset for name, (_, offset) in (PART.fields or {}).items()} == {"first": 0, "last": 32, "share": 64}


@pytest.mark.parametrize("degree", range(1, 17))
def test_the_quadrature_is_exact_below_its_degree(degree: int) -> None:
    for power in range(degree):
        assert sum(weight * node**power for node, weight in quadrature(degree)) == pytest.approx(1 / (power + 1))


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
