"""Registries to serve from: an org's model trained by the project's own code, and many more made from it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from benchmarks.serving.harness.load_generator import post
from benchmarks.throwaway_crm import SIMULATED_AT, features_of, simulated_crm
from leadscore.arrays import Floats
from leadscore.engine.scorer import Scorer
from leadscore.features import CONTRACT
from leadscore.forest import LEAF, Forest
from leadscore.registry.activation import roll_back
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.safetensors import encode_arrays
from leadscore.registry.store import POINTER_FILE, Pointer, Registry
from leadscore.registry.version import ENGINE_FILE, ESTIMATOR_FILE, FOREST_FILE, MANIFEST_FILE, Manifest, encode_forest
from leadscore.settings import Settings
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.train import train
from standalone.orgs import Org

ORG = "default"
LEADS_PER_RECORD = 2
MESSAGES_PER_LEAD = 4
DIFFERENT_LEADS = 500
ONE_SPLIT = Forest(
    feature=np.array([0, LEAF, LEAF], np.int16),
    threshold=np.array([50, 0, 0], np.float32),
    left=np.array([1, LEAF, LEAF], np.int32),
    right=np.array([2, LEAF, LEAF], np.int32),
    missing_goes_left=np.array([True, False, False]),
    value=np.array([0.5, 0.25, 0.75]),
    cover=np.array([8.0, 4.0, 4.0]),
    roots=np.array([0], np.int32),
)
PREDICT, BATCH = "/api/v1/predict", "/api/v1/predict/batch"


@dataclass(frozen=True)
class Served:
    """A registry whose one org has an active version; its files, the estimator, and rows, shape (rows, features)."""

    models: Path
    manifest: Manifest
    estimator: RandomForestClassifier
    forest: Forest
    rows: Floats

    @property
    def folder(self) -> Path:
        """The version's folder."""
        return self.models / ORG / self.manifest.version

    @property
    def model_file(self) -> Path:
        """The estimator as a joblib file."""
        return self.folder / ESTIMATOR_FILE

    def leads(self, count: int = DIFFERENT_LEADS) -> Floats:
        """Return `count` rows, evenly taken from all; rows come again when there are fewer."""
        places = np.linspace(0, len(self.rows), count, endpoint=False, dtype=np.intp)
        return np.asarray(self.rows[places])

    def in_words(self) -> str:
        """Return how large the version is."""
        leaves, deepest = (
            int((self.forest.feature == LEAF).sum()),
            max(t.get_depth() for t in self.estimator.estimators_),
        )
        records, rows = self.manifest.counts.records, self.manifest.split.training_rows
        return (
            f"{records:,} records ({rows:,} rows to train on): {len(self.forest.roots)} trees, depth {deepest},"
            f" {leaves:,} leaves"
        )


def trained(models: Path, records: int) -> Served:
    """Simulate an org with so many records, train it, and make the version active."""
    registry, features = Registry(models), simulated(records)
    manifest = train(registry, ORG, features)
    roll_back(registry, ORG, manifest.version, by="benchmark", reason="to be measured", is_forced=True)
    estimator = joblib.load(models / ORG / manifest.version / ESTIMATOR_FILE)
    return Served(models, manifest, estimator, flatten(estimator), features.matrix())


def simulated(records: int) -> FeatureRows:
    """Return the rows of a simulated org that has so many records."""
    org = Org(
        ORG,
        leads=records * LEADS_PER_RECORD,
        records=records,
        messages_per_lead=MESSAGES_PER_LEAD,
        history_days=Settings().training_window_days,
    )
    with simulated_crm([org], seed=1) as settings:
        return features_of(settings, ORG, SIMULATED_AT)


def with_many_orgs(models: Path, like: Served, count: int) -> list[str]:
    """Give `models` as many orgs, each with a version of its own that is as large as `like`; return their ids."""
    forest, scorer = encode_forest(like.forest), like.forest.scorer
    org_ids = [f"org-{number:05d}" for number in range(count)]
    for number, org_id in enumerate(org_ids):
        moved = scorer.with_moved_leaves(partial(np.multiply, 1 - number * 1e-6))
        _write(models, like.manifest, org_id, number, {FOREST_FILE: forest, ENGINE_FILE: engine_bytes(moved)})
    os.sync()
    return org_ids


def with_many_versions(models: Path, like: Served, count: int) -> list[str]:
    """Give `models` as many orgs, each with a tiny version of another number; return their ids."""
    files = {FOREST_FILE: encode_forest(ONE_SPLIT), ENGINE_FILE: engine_bytes(ONE_SPLIT.scorer)}
    org_ids = [f"org-{number:05d}" for number in range(count)]
    for number, org_id in enumerate(org_ids):
        _write(models, like.manifest, org_id, number, files)
    os.sync()
    return org_ids


def engine_bytes(scorer: Scorer) -> bytes:
    """Return the file from which a version is served."""
    return encode_arrays(scorer.to_arrays())


def _write(models: Path, manifest: Manifest, org_id: str, number: int, files: dict[str, bytes]) -> None:
    """Write a version and the pointer to it, as the registry would, without waiting for the disk each time."""
    version = (SIMULATED_AT + timedelta(seconds=number)).strftime("%Y%m%d%H%M%S")
    hashes = {name: sha256_of(content) for name, content in files.items()}
    described = msgspec.structs.replace(manifest, org_id=org_id, version=version, files=hashes)
    manifest_bytes = msgspec.json.encode(described)
    folder = models / org_id / version
    folder.mkdir(parents=True)
    for name, content in {**files, MANIFEST_FILE: manifest_bytes}.items():
        (folder / name).write_bytes(content)
    pointer = Pointer(version, None, SIMULATED_AT.isoformat(), "benchmark", "to be measured", sha256_of(manifest_bytes))
    (models / org_id / POINTER_FILE).write_bytes(msgspec.json.encode(pointer))


def engine_file_bytes(models: Path, org_id: str) -> int:
    """Return how large the file is from which an org's one version is served."""
    [file] = (models / org_id).glob(f"*/{ENGINE_FILE}")
    return file.stat().st_size


def body(row: Floats, org_id: str = ORG, lead_id: str | None = None) -> bytes:
    """Return the body of a request to score one row, shape (features,), which names a lead when an id is given."""
    named = {} if lead_id is None else {"lead_id": lead_id}
    return json.dumps({"org_id": org_id, **named, "features": _features(row)}).encode()


def predict_requests(rows: Floats, path: str = PREDICT, token: str = "", *, has_lead_ids: bool = False) -> list[bytes]:
    """Return a request for each row, which names its lead when it `has_lead_ids`."""
    lead_ids = (str(place) if has_lead_ids else None for place in range(len(rows)))
    return [post(path, body(row, lead_id=lead_id), token) for row, lead_id in zip(rows, lead_ids, strict=True)]


def batch_request(rows: Floats, query: str = "") -> bytes:
    """Return one request for all rows."""
    items = [{"features": _features(row)} for row in rows]
    return post(BATCH + query, json.dumps({"org_id": ORG, "batch": items}).encode())


def peer_requests(rows: Floats, path: str) -> list[bytes]:
    """Return a request for each row as mlflow and BentoML take them: plain numbers, with 0 for what is unknown."""
    return [post(path, json.dumps({"inputs": [row]}).encode()) for row in np.nan_to_num(rows).tolist()]


def _features(row: Floats) -> dict[str, Any]:
    values = (None if np.isnan(value) else value for value in row.tolist())
    return dict(zip(CONTRACT.names, values, strict=True))
