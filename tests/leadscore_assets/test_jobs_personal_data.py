"""No file of a version, and no event of its training, holds a lead's id or anything personal."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore.pooling import POOLED
from leadscore.registry.safetensors import COMPRESSED, compressed, decode_arrays, decompressed, encode_arrays
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.tables import load

# ids of seven digits, all of which begin alike
FIRST_ID = 7_310_000
ID_AS_TEXT = re.compile(rb"(?<![0-9A-Za-z.])731[0-9]{4}(?![0-9A-Za-z])")
CANARY = b"canary"
MARK = """
ALTER TABLE message DROP CONSTRAINT message_dossier_id_fkey;
ALTER TABLE appointment DROP CONSTRAINT appointment_dossier_id_fkey;
UPDATE dossier SET id = id + 7310000, lead_name = 'Canary Ada ' || id, lead_email = 'canary' || id || '@example.org',
    lead_phone = 'canary +1 555 ' || id, notes = 'canary note';
UPDATE message SET dossier_id = dossier_id + 7310000, content = 'canary message';
UPDATE appointment SET dossier_id = dossier_id + 7310000, location = 'canary street';
UPDATE dossier_status_history SET dossier_id = dossier_id + 7310000, reason = 'canary reason', user_id = 'canary-user';
UPDATE lead_score SET dossier_id = dossier_id + 7310000;
UPDATE annonce SET title = 'canary house', city = 'canary city'
"""
EXPECTED_FILES = {
    "records.safetensors.gz",
    "forest.safetensors.gz",
    "engine.safetensors",
    "model.joblib",
    "manifest.json",
    "evaluation.json",
    "report.html",
    "active.json",
    "activations.jsonl",
}


def finds(name: str, content: bytes, ids: npt.NDArray[np.int64]) -> list[str]:
    """Return what of leads a file holds: as text of any width, and as numbers of any type."""
    arrays: list[Any] = []
    if ".safetensors" in name:
        arrays = list(decode_arrays(content, name).values())
    if name.endswith(".joblib"):
        arrays = list(numbers_in(joblib.load(io.BytesIO(content))))
    if name.endswith((".joblib", COMPRESSED)):
        content = decompressed(content)
    # letters of 2 or 4 bytes, as in an array of texts, are ASCII with zeros between
    texts = (content, content.replace(b"\0", b""))
    found = [f"{name}: {kind}" for kind in ("text", "id as text") if any(_has(kind, text) for text in texts)]
    # with the highest byte first, an id's three bytes behind zeros are found by chance among a forest's thresholds
    encoded = (ids.astype(kind).tobytes() for kind in ("<i8", "<f8"))
    if any(number[start : start + 8] in content for number in encoded for start in range(0, len(number), 8)):
        found.append(f"{name}: id as eight bytes")
    if any(np.isin(np.asarray(array, dtype=np.float64), ids).any() for array in arrays):
        found.append(f"{name}: id as a number")
    return found


def _has(kind: str, content: bytes) -> bool:
    return CANARY in content.lower() if kind == "text" else ID_AS_TEXT.search(content) is not None


def numbers_in(value: Any) -> Iterator[npt.NDArray[Any]]:
    """Yield all numbers that an unpickled object holds, however deep."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        yield from (value[name] for name in value.dtype.names)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield value if value.dtype.kind in "biuf" else np.zeros(0)
    elif isinstance(value, bool | int | float | np.number):
        yield np.array([value])
    elif isinstance(value, dict):
        for part in value.values():
            yield from numbers_in(part)
    elif isinstance(value, list | tuple | np.ndarray):
        for part in value:
            yield from numbers_in(part)
    elif not isinstance(value, str | bytes | type | None) and hasattr(value, "__getstate__"):
        yield from numbers_in(value.__getstate__())


@pytest.fixture
def marked(pooled_settings: Settings) -> Settings:
    """Give settings of a CRM whose leads' ids, names, addresses and texts can be told from anything else."""
    with connect(pooled_settings) as connection, connection.transaction():
        connection.execute(MARK.encode())
    return pooled_settings


def test_a_version_holds_no_id_and_nothing_personal_of_a_lead(train: Any, marked: Settings) -> None:
    for org_id in ("sound", POOLED):
        result = train(org_id, settings=marked)
        assert result.success
        events = " ".join(map(str, result.all_events)).encode()
        assert not any(_has(kind, events) for kind in ("text", "id as text"))
        with connect(marked) as connection:
            rows, _ = load(connection, "lead_features", org_id)
        assert rows is not None
        ids = rows["lead_id"].unique().astype(np.int64)
        assert ids.min() > FIRST_ID
        files = [path for path in (marked.model_path / org_id).rglob("*") if path.is_file()]
        assert {path.name for path in files} >= EXPECTED_FILES
        assert [found for path in files for found in finds(path.name, path.read_bytes(), ids)] == []


IDS = np.array([7_310_005, 7_310_900], dtype=np.int64)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.json", b'{"id": 7310005}', "id as text"),
        ("a.html", b"<td>7310900</td>", "id as text"),
        ("a.json", b'{"name": "Canary Ada"}', "text"),
        ("a.safetensors", encode_arrays({"a": IDS.astype(np.int32)}), "id as a number"),
        ("a.safetensors", encode_arrays({"a": IDS.astype(np.float64)}), "id as eight bytes"),
    ],
)
def test_the_search_finds_an_id_however_it_is_written(name: str, content: bytes, kind: str) -> None:
    assert f"{name}: {kind}" in finds(name, content, IDS)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"leads": [IDS.astype(np.float32)]}, "id as a number"),
        ([{"lead": 7_310_900}], "id as a number"),
        (np.array(["7310005"]), "id as text"),
        ({"7310005": 1}, "id as text"),
        (np.array(["Canary"]), "text"),
    ],
)
def test_the_search_finds_an_id_inside_a_compressed_estimator(value: Any, kind: str) -> None:
    content = compressed(pickle.dumps(value, protocol=5))
    assert f"a.joblib: {kind}" in finds("a.joblib", content, IDS)


def test_the_search_reaches_the_numbers_of_every_tree() -> None:
    rows = np.arange(100.0).reshape(50, 2)
    forest = RandomForestClassifier(n_estimators=3, random_state=1).fit(rows, rows[:, 0] > 40)
    thresholds = [tree.tree_.threshold for tree in forest.estimators_]
    reached = np.concatenate([array.astype(float).ravel() for array in numbers_in(forest)])
    assert np.isin(np.concatenate(thresholds), reached).all()


def test_the_search_takes_other_numbers_for_no_id() -> None:
    content = b'{"roc_auc": 0.7310005, "sha256": "a7310005b", "long": 17310005}'
    assert finds("a.json", content, IDS) == []
