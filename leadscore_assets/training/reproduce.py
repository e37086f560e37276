"""Rebuilds a version: trains it again on the same records, and compares the files byte for byte.

The manifest records everything that made a version: window, contract, SQL, records, code and libraries. A rebuild
extracts the records again; if the CRM has changed since, it says how they differ, and uses the rows that are stored
with the version. If files differ, the rebuild names the inputs that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leadscore.errors import DatabaseUnavailable, InvalidSettings, NotKept, SourceMismatch
from leadscore.features import Contract
from leadscore.records import Window
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.safetensors import COMPRESSED, decode_arrays, decompressed
from leadscore.registry.store import Registry
from leadscore.registry.version import Manifest
from leadscore_assets.dataset import ConversionRecords, FeatureRows
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.provenance import code_version, library_versions
from leadscore_assets.training.snapshot import SNAPSHOT_FILES, rows_from
from leadscore_assets.training.teacher import kept_teacher
from leadscore_assets.training.train import build

Extract = Callable[[str, Window, Contract], ConversionRecords]
MOST_NAMES = 5


@dataclass(frozen=True)
class Changed:
    """An input or a file that has changed: its name, its recorded value, and its present value."""

    name: str
    recorded: str
    now: str


@dataclass(frozen=True)
class Rebuild:
    """The result of a rebuild. `rows_from` is the source of its rows, and `crm` how the CRM's records compare."""

    org_id: str
    version: str
    rows_from: str
    crm: str
    inputs: tuple[Changed, ...]
    files: tuple[str, ...]
    changed_files: tuple[Changed, ...]

    @property
    def is_identical(self) -> bool:
        """Whether every file came out byte for byte."""
        return not self.changed_files


def rebuild(registry: Registry, org_id: str, version: str, extract: Extract) -> Rebuild:
    """Train a version again and compare; the registry is only read.

    Raises VersionNotFound, VersionRemoved or Damaged, and NotKept when neither the CRM nor the version has its rows any
    more.
    """
    manifest = registry.manifest(org_id, version)
    from_crm, crm, sql_sha256 = _from_crm(org_id, manifest, extract)
    if from_crm is not None and from_crm.counts.fingerprint == manifest.counts.fingerprint:
        features, source, crm = from_crm, "the CRM", "the CRM gives the same records as of the same time"
    elif from_crm is not None and not any(name in manifest.files for name in SNAPSHOT_FILES):
        features, source = from_crm, "the CRM"
        crm = "it is unknown whether its records are the same, because an earlier release did not keep them"
    else:
        features, source = _kept(registry, org_id, manifest), "the rows kept with the version"
        crm = crm or _difference(features, from_crm)
    built = build(features, kept_teacher(registry, org_id, manifest))
    now = {name: sha256_of(content) for name, content in _as_stored(built.files, manifest.files)}
    return Rebuild(
        org_id=org_id,
        version=version,
        rows_from=source,
        crm=crm,
        inputs=tuple(_changed_inputs(manifest, sql_sha256, built.parameters)),
        files=tuple(sorted(manifest.files)),
        changed_files=tuple(_changed(manifest.files, now)),
    )


def _from_crm(org_id: str, manifest: Manifest, extract: Extract) -> tuple[FeatureRows | None, str, str | None]:
    """Return the CRM's records, or why there are none; and the hash of the SQL that reads them now."""
    try:
        records = extract(org_id, manifest.window, manifest.contract)
    except (DatabaseUnavailable, InvalidSettings, SourceMismatch) as error:
        return None, f"the CRM's records could not be read: {error.message}", None
    return check_rows(records, manifest.contract), "", records.counts.sql_sha256


def _kept(registry: Registry, org_id: str, manifest: Manifest) -> FeatureRows:
    try:
        name = next((name for name in SNAPSHOT_FILES if name in manifest.files), SNAPSHOT_FILES[0])
        content = registry.file(org_id, manifest.version, name)
    except NotKept as error:
        raise NotKept(
            f"version {manifest.version} cannot be rebuilt: the CRM's records cannot be read, and the earlier release"
            " that trained it did not keep them; make the CRM's database readable, or train again"
        ) from error
    rows = rows_from(decode_arrays(content, name))
    return FeatureRows(rows, manifest.counts, manifest.window, manifest.contract)


def _as_stored(files: Mapping[str, bytes], stored: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files that a version has; those plain that its release did not compress.

    A file that a later release adds does not make the version another.
    """
    for name, content in files.items():
        if name in stored:
            yield name, content
        elif name.removesuffix(COMPRESSED) in stored:
            yield name.removesuffix(COMPRESSED), decompressed(content)


def _difference(kept: FeatureRows, from_crm: FeatureRows | None) -> str:
    """Return, in words, how the records that the CRM gives now differ from those that were kept."""
    if from_crm is None:
        raise ValueError("the CRM's records are needed to compare them; read them first")
    counted = [
        f"{name} {was:,} → {now:,}"
        for name, was, now in (
            ("records", kept.counts.records, from_crm.counts.records),
            ("converted", kept.counts.converted_records, from_crm.counts.converted_records),
            ("rows", kept.counts.rows, from_crm.counts.rows),
        )
        if was != now
    ]
    cells = () if counted else _differing_cells(kept.rows, from_crm.rows)
    changes = counted or [f"{name} in {rows:,} rows" for name, rows in cells][:MOST_NAMES] or ["the order of the leads"]
    return f"the CRM gives other records now: {', '.join(changes)}"


def _differing_cells(kept: pd.DataFrame, from_crm: pd.DataFrame) -> Iterator[tuple[str, int]]:
    """Yield each column that differs between tables of equal length, with the number of rows, the most first."""
    names = [name for name in kept.columns if name != "lead_id" and name in from_crm.columns]
    counts = {}
    for name in names:
        was, now = kept[name].to_numpy(), from_crm[name].to_numpy()
        both_unknown = pd.isna(was) & pd.isna(now)
        counts[name] = int(np.sum((was != now) & ~both_unknown))
    yield from sorted(((name, rows) for name, rows in counts.items() if rows), key=lambda pair: -pair[1])


def _changed_inputs(manifest: Manifest, sql_sha256: str | None, parameters: dict[str, object]) -> Iterator[Changed]:
    if code_version() != manifest.code_version:
        yield Changed("code", manifest.code_version, code_version())
    if sql_sha256 is not None and sql_sha256 != manifest.counts.sql_sha256:
        yield Changed("SQL of the records", manifest.counts.sql_sha256, sql_sha256)
    yield from _changed(manifest.libraries, library_versions())
    yield from _changed(
        {f"parameter {name}": str(value) for name, value in manifest.parameters.items()},
        {f"parameter {name}": str(value) for name, value in parameters.items()},
    )


def _changed(recorded: dict[str, str], now: dict[str, str]) -> Iterator[Changed]:
    for name in sorted(recorded.keys() | now.keys()):
        if recorded.get(name) != now.get(name):
            yield Changed(name, recorded.get(name, "none"), now.get(name, "none"))
