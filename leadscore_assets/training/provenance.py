"""What made a version, apart from its records: the code, the libraries, and a name for the records themselves."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import version

import pandas as pd

from leadscore.features import Contract
from leadscore.settings import PROJECT_ROOT

CODE_FOLDERS = ("leadscore", "leadscore_assets")
CODE_SUFFIXES = (".py", ".sql")
LIBRARIES = ("joblib", "msgspec", "numpy", "pandas", "scikit-learn", "scipy")


@cache
def code_version() -> str:
    """Return the SHA-256 over the source of everything that takes part in a training, cut to 16 digits."""
    digest = hashlib.sha256()
    for folder in CODE_FOLDERS:
        for path in sorted((PROJECT_ROOT / folder).rglob("*")):
            if path.suffix in CODE_SUFFIXES:
                digest.update(str(path.relative_to(PROJECT_ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that can change a result."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def records_fingerprint(rows: pd.DataFrame, contract: Contract) -> str:
    """Return the SHA-256 of the rows (ids, landmarks, outcomes, features) in their order, under this contract."""
    digest = hashlib.sha256(contract.fingerprint.encode())
    digest.update("\0".join(rows["lead_id"]).encode())
    for name in ("landmark_days", "converted"):
        digest.update(rows[name].to_numpy(dtype="<i8").tobytes())
    for name in contract.names:
        digest.update(rows[name].to_numpy(dtype="<f8").tobytes())
    return digest.hexdigest()
