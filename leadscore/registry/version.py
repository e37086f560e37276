"""A version's files: the manifest that says where it came from, the forest as arrays, and the same for the engine.

The bytes whose hash was verified are the very bytes that are served: the file is read once, hashed, and the arrays
are views of what was read, or of a copy of it that nothing writes to.

How the layout may change is written in `formats`, whose number the manifest carries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from leadscore.engine.scorer import Scorer
from leadscore.errors import Damaged
from leadscore.features import Contract
from leadscore.forest import Forest
from leadscore.formats import ENGINE_SINCE_FORMAT, decode_document
from leadscore.pooling import POOLED, BaseValues, Scope, StandsOn, scope_of
from leadscore.records import RecordCounts, Window
from leadscore.registry.safetensors import COMPRESSED, compressed, decode_arrays, encode_arrays
from leadscore.registry.storage import StoredFile, read_verified_file

PLAIN_FOREST_FILE = "forest.safetensors"  # up to format 6
FOREST_FILE = PLAIN_FOREST_FILE + COMPRESSED
ENGINE_FILE = "engine.safetensors"
ESTIMATOR_FILE = "model.joblib"
BASE_VALUES_FILE = "base_values.json"
INPUT_BINS_FILE = "input_bins.json"
POOLED_VALUES_FILE = "pooled_values.safetensors.gz"  # of a taught version: what its forest said before it was taught
MANIFEST_FILE = "manifest.json"


class Split(msgspec.Struct, frozen=True):
    """How the records were divided: the share meant for the holdout, and what each side got."""

    holdout_share: float
    training_records: int
    training_rows: int
    holdout_records: int
    holdout_rows: int


class Importance(msgspec.Struct, frozen=True):
    """A feature's mean absolute contribution, in probability, over a sample of holdout rows."""

    feature: str
    importance: float


class Manifest(msgspec.Struct, frozen=True):
    """Everything that made a version: contract, window, records, parameters, code, libraries, and its files' hashes.

    `stands_on` names the pooled version that it was taught from; None for a forest of its own.
    """

    format: int
    org_id: str
    version: str
    created_at: str
    run_id: str | None
    contract: Contract
    contract_fingerprint: str
    window: Window
    counts: RecordCounts
    split: Split
    parameters: dict[str, Any]
    importance: tuple[Importance, ...]
    code_version: str
    libraries: dict[str, str]
    files: dict[str, str]
    stands_on: StandsOn | None = None


class LoadedVersion(msgspec.Struct, frozen=True):
    """A verified version in memory. Only the pooled model has `base_values`.

    `sha256` is that of the file whose mapped copy the scorer's arrays are views of; None where they are this process's.
    """

    manifest: Manifest
    scorer: Scorer
    base_values: BaseValues | None = None
    sha256: str | None = None
    scope: Scope = "own"


def decode_manifest(content: bytes) -> Manifest:
    """Return the manifest in `content`. Raises UnsupportedFormat for a newer format, Damaged for anything else."""
    return decode_document(content, Manifest, MANIFEST_FILE, "roll back to another version or train again")


def load_version(file: Callable[[str], StoredFile], manifest: Manifest) -> LoadedVersion:
    """Return the version, verified; `file(name)` gives its files. Raises Damaged when one is not as recorded."""
    scored_by = scoring_file(manifest)
    for name, recorded in manifest.files.items():
        if name not in (scored_by, BASE_VALUES_FILE):
            read_verified_file(file(name), recorded)
    content = read_verified_file(file(scored_by), manifest.files[scored_by])
    scorer = decode_scorer(content, scored_by, len(manifest.contract.features))
    base_values = load_base_values(file, manifest.org_id, manifest.files)
    return LoadedVersion(manifest, scorer, base_values, scope=scope_of(manifest.org_id, manifest.stands_on))


def encode_forest(forest: Forest) -> bytes:
    """Return the content of a version's FOREST_FILE."""
    return compressed(encode_arrays(forest.to_arrays()))


def scoring_file(manifest: Manifest) -> str:
    """Return the name of the file that scores: the engine's arrays, if they are in the present format, else the forest.

    Raises Damaged when there is none.
    """
    name = PLAIN_FOREST_FILE if manifest.format < ENGINE_SINCE_FORMAT else ENGINE_FILE
    if name not in manifest.files:
        raise Damaged(f"the manifest does not record {name}; roll back to another version or train again")
    return name


def decode_scorer(content: bytes | memoryview, name: str, feature_count: int) -> Scorer:
    """Return the scorer in the content of the file `name`, a version's scoring file. Raises Damaged.

    The engine's arrays are views of the content, a forest's are packed for the engine first.
    """
    arrays = decode_arrays(content, name)
    if name == ENGINE_FILE:
        return Scorer.from_arrays(arrays, feature_count)
    return Forest.from_arrays(arrays, feature_count).scorer


def load_base_values(file: Callable[[str], StoredFile], org_id: str, files: dict[str, str]) -> BaseValues | None:
    """Return the base values, which only the pooled model has; `file(name)` gives the files. Raises Damaged."""
    if BASE_VALUES_FILE in files:
        content = read_verified_file(file(BASE_VALUES_FILE), files[BASE_VALUES_FILE])
        return decode_document(content, BaseValues, BASE_VALUES_FILE, "train again")
    if org_id == POOLED:
        raise Damaged(f"the manifest does not record {BASE_VALUES_FILE}, which the pooled model needs; train again")
    return None
