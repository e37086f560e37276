"""A version's files: read back as written, refused when one byte differs, and loading them runs no code."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from leadscore.errors import Damaged, UnsupportedFormat
from leadscore.forest import Forest
from leadscore.formats import FORMAT
from leadscore.registry.durable_files import PlainFile
from leadscore.registry.safetensors import encode_arrays
from leadscore.registry.store import Registry
from leadscore.registry.version import (
    ENGINE_FILE,
    FOREST_FILE,
    MANIFEST_FILE,
    PLAIN_FOREST_FILE,
    Manifest,
    decode_manifest,
    decode_scorer,
    encode_forest,
    load_version,
)
from tests.leadscore.registry.stored_files import Boom, flipped, stored

MakeManifest = Callable[..., Manifest]
Publish = Callable[..., str]


def test_every_changed_byte_of_the_manifest_is_noticed_when_its_hash_is_known(
    registry: Registry, publish: Publish
) -> None:
    version = publish(registry)
    path, recorded = registry.root / "acme" / version / MANIFEST_FILE, registry.manifest_sha256("acme", version)
    for index in range(path.stat().st_size):
        with flipped(path, index, 0x01), pytest.raises(Damaged, match="its SHA-256 is not the recorded one"):
            registry.load("acme", version, recorded)


def test_a_manifest_that_is_no_text_any_more_is_noticed_even_without_its_hash(
    registry: Registry, publish: Publish
) -> None:
    version = publish(registry)
    path = registry.root / "acme" / version / MANIFEST_FILE
    for index in range(0, path.stat().st_size, 16):
        with flipped(path, index, 0x80), pytest.raises(Damaged):
            registry.load("acme", version)


def test_a_file_cut_short_is_noticed_wherever_it_is_cut(registry: Registry, publish: Publish) -> None:
    version = publish(registry)
    recorded = registry.manifest_sha256("acme", version)
    for path in sorted((registry.root / "acme" / version).iterdir()):
        content = path.read_bytes()
        for length in {*range(0, len(content), 512), len(content) - 1}:
            path.write_bytes(content[:length])
            with pytest.raises(Damaged):
                registry.load("acme", version, recorded)
        path.write_bytes(content)
    assert registry.load("acme", version, recorded).manifest.version == version


@pytest.mark.parametrize("name", [FOREST_FILE, ENGINE_FILE, "model.joblib", MANIFEST_FILE])
def test_a_file_that_is_gone_is_noticed(name: str, registry: Registry, publish: Publish) -> None:
    version = publish(registry)
    (registry.root / "acme" / version / name).unlink()
    with pytest.raises(Damaged, match="roll back to another version or train again"):
        registry.load("acme", version)


def _pipe(path: Path, original: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path, original: Path) -> None:
    path.mkdir()


def _link(path: Path, original: Path) -> None:
    path.symlink_to(original)


@pytest.mark.parametrize("name", [FOREST_FILE, ENGINE_FILE, "model.joblib"])
@pytest.mark.parametrize("put", [_pipe, _folder, _link])
def test_what_is_no_plain_file_is_refused_at_once(
    put: Callable[[Path, Path], None], name: str, registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    """A pipe would let the reader wait for ever; a link leads out of the registry, though its bytes are right."""
    version = publish(registry)
    path = (registry.root / "acme" / version / name).rename(tmp_path / "original")
    put(registry.root / "acme" / version / name, path)
    started_at = time.monotonic()
    with pytest.raises(Damaged, match=f"{name} cannot be read"):
        registry.load("acme", version)
    assert time.monotonic() - started_at < 5


def test_the_estimator_for_notebooks_is_verified_and_never_unpickled(
    registry: Registry, make_manifest: MakeManifest, arrays: dict[str, Any], tmp_path: Path
) -> None:
    evidence = tmp_path / "executed"
    files = {PLAIN_FOREST_FILE: encode_arrays(arrays), "model.joblib": pickle.dumps(Boom(evidence))}
    manifest = registry.publish("acme", files, lambda version, hashes: make_manifest("acme", version, hashes, format=2))
    registry.load("acme", manifest.version)
    assert not evidence.exists()


def _document(make_manifest: MakeManifest) -> dict[str, Any]:
    manifest = make_manifest("acme", "20260315060000", {FOREST_FILE: "c0ffee"})
    document: dict[str, Any] = json.loads(msgspec.json.encode(manifest))
    return document


def test_a_manifest_reads_back_as_it_was(make_manifest: MakeManifest) -> None:
    manifest = make_manifest("acme", "20260315060000", {FOREST_FILE: "c0ffee"})
    stored = decode_manifest(msgspec.json.encode(manifest))
    assert stored == manifest
    assert stored.contract.fingerprint == manifest.contract_fingerprint


@pytest.mark.parametrize("number", [FORMAT + 1, 0, -1])
def test_another_format_is_refused_with_what_to_do(number: object, make_manifest: MakeManifest) -> None:
    content = json.dumps(_document(make_manifest) | {"format": number}).encode()
    with pytest.raises(UnsupportedFormat, match=f"reads only up to format {FORMAT}; update Leadscore, or roll back"):
        decode_manifest(content)


@pytest.mark.parametrize("number", ["1", None, 99.5])
def test_a_format_that_is_no_number_is_damage(number: object, make_manifest: MakeManifest) -> None:
    content = json.dumps(_document(make_manifest) | {"format": number}).encode()
    with pytest.raises(Damaged, match="has no format number"):
        decode_manifest(content)


def test_a_newer_format_is_refused_whatever_else_it_holds() -> None:
    with pytest.raises(UnsupportedFormat):
        decode_manifest(json.dumps({"format": FORMAT + 1}).encode())


def test_a_manifest_without_one_of_its_fields_is_damaged(make_manifest: MakeManifest) -> None:
    document = _document(make_manifest)
    since_later = {"stands_on"}  # older formats have no such field, so it may be left out
    for name in document.keys() - {"format"} - since_later:
        content = json.dumps({key: value for key, value in document.items() if key != name}).encode()
        with pytest.raises(Damaged, match=name):
            decode_manifest(content)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 20260315060000),
        ("contract", {"features": [{"name": "x"}]}),
        ("contract", None),
        ("window", "half a year"),
        ("files", [FOREST_FILE]),
        ("libraries", {"numpy": 2}),
        ("importance", [{"feature": "x"}]),
        ("split", []),
    ],
)
def test_a_manifest_with_a_mistyped_field_is_damaged(name: str, value: object, make_manifest: MakeManifest) -> None:
    with pytest.raises(Damaged, match=f"does not have the fields of format {FORMAT}.*{name}"):
        decode_manifest(json.dumps(_document(make_manifest) | {name: value}).encode())


def test_a_field_that_this_release_does_not_know_is_passed_over(make_manifest: MakeManifest) -> None:
    content = json.dumps(_document(make_manifest) | {"added_later": {"x": 1}}).encode()
    assert decode_manifest(content).version == "20260315060000"


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'"x"', b"{}", b"{", b'{"format": "\xff"}', b"[" * 100_000])
def test_what_is_no_manifest_is_damaged(content: bytes) -> None:
    with pytest.raises(Damaged):
        decode_manifest(content)


def test_a_manifest_that_records_nothing_to_score_by_is_damaged(tmp_path: Path, make_manifest: MakeManifest) -> None:
    with pytest.raises(Damaged, match="does not record engine"):
        load_version(lambda name: PlainFile(tmp_path / name), make_manifest("acme", "20260315060000", {}))
    with pytest.raises(Damaged, match="does not record forest"):
        load_version(lambda name: PlainFile(tmp_path / name), make_manifest("acme", "20260315060000", {}, format=3))


def test_a_forest_over_more_features_than_the_contract_has_is_damaged(
    tmp_path: Path, arrays: dict[str, Any], make_manifest: MakeManifest
) -> None:
    arrays["feature"] = np.array([11, -1, -1], np.int16)
    _, recorded = stored(tmp_path, encode_arrays(arrays))
    with pytest.raises(Damaged, match="do not form trees"):
        load_version(
            lambda name: PlainFile(tmp_path / name),
            make_manifest("acme", "20260315060000", {PLAIN_FOREST_FILE: recorded}, format=2),
        )


@pytest.mark.parametrize(("written_as", "probability"), [(2, 0.75), (3, 0.75), (FORMAT, 0.5)])
def test_a_version_is_scored_by_the_engines_file_if_this_release_wrote_it_and_by_the_forest_if_not(
    written_as: int,
    probability: float,
    registry: Registry,
    make_forest: Callable[..., Forest],
    make_manifest: MakeManifest,
) -> None:
    files = {
        FOREST_FILE: encode_forest(make_forest()),
        PLAIN_FOREST_FILE: encode_arrays(make_forest().to_arrays()),
        ENGINE_FILE: encode_arrays(make_forest(0.5).scorer.to_arrays()),
    }
    manifest = registry.publish(
        "acme", files, lambda version, hashes: make_manifest("acme", version, hashes, format=written_as)
    )
    rows = [[2.0, *[0.0] * 10]]
    assert registry.load("acme", manifest.version).scorer.probabilities(rows).tolist() == [probability]


def test_the_engines_arrays_read_back_as_the_same_scorer(make_forest: Callable[..., Forest]) -> None:
    scorer = make_forest().scorer
    stored = decode_scorer(encode_arrays(scorer.to_arrays()), ENGINE_FILE, 11)
    rows = np.array([[1.0] * 11, [2.0] * 11])
    assert (stored.base_value, stored.width) == (scorer.base_value, 11)
    assert stored.probabilities(rows).tolist() == scorer.probabilities(rows).tolist()
    assert stored.contributions(rows).tolist() == scorer.contributions(rows).tolist()
