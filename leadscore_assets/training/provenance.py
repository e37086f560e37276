"""The provenance of a version apart from its records: the code and the libraries."""

from __future__ import annotations

import hashlib
import platform
import zlib
from functools import cache
from importlib.metadata import version

from leadscore.settings import PROJECT_ROOT

CODE_FOLDERS = ("leadscore", "leadscore_assets")
CODE_SUFFIXES = (".py", ".sql")
LIBRARIES = ("joblib", "msgspec", "numpy", "pandas", "scikit-learn", "scipy")


@cache
def code_version() -> str:
    """Return the SHA-256 over all source of the pipeline and the core, cut to 16 digits."""
    digest = hashlib.sha256()
    for folder in CODE_FOLDERS:
        for path in sorted((PROJECT_ROOT / folder).rglob("*")):
            if path.suffix in CODE_SUFFIXES:
                digest.update(str(path.relative_to(PROJECT_ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that can change a result or how it is compressed."""
    others = {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    return others | {name: version(name) for name in LIBRARIES}
